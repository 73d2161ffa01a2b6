#include "request_model.hpp"

#include <gtest/gtest.h>
#include <malloc.h>

#include <string>

#include "compressed.hpp"
#include "pieces.hpp"

namespace keystile {
namespace {

using Naming = TurnRequest::Naming;

TurnRequest request_of(std::string_view codings, std::string_view body,
                       std::uint64_t most = 1U << 20U) {
    RequestModel model{most};
    model.add_encoding(codings);
    model.take(body);
    return model.end();
}

// As Codex writes it: the instructions are before the input, and long.
std::string codex_body() {
    return R"({"instructions":")" + std::string(3000, 'i') +
           R"(","input":[{"content":"\"model\":\"x\"","model":"x"}],)"
           R"("model":"gpt-5","stream":true})";
}

TEST(RequestModel, HoweverItIsCodedAndCut) {
    auto text = codex_body();
    for (auto [codings, body] : {std::pair{"", text},
                                 {"zstd", zstd_stream(text)},
                                 {"gzip", gzipped(text)},
                                 {"deflate", bare_deflated(text)},
                                 {"gzip, zstd", zstd_stream(gzipped(text))}}) {
        for (std::size_t size : {1U, 7U, 100U, 10'000U}) {
            RequestModel model{text.size()};
            EXPECT_TRUE(model.add_encoding(codings));
            in_pieces(body, size, [&model](std::string_view piece) {
                EXPECT_TRUE(model.take(piece));
            });
            auto request = model.end();
            EXPECT_EQ(request.naming, Naming::named) << codings;
            EXPECT_EQ(request.model.view(), "gpt-5") << codings;
            EXPECT_FALSE(model.is_too_large());
        }
    }
}

TEST(RequestModel, WhatCannotBeRead) {
    auto text = codex_body();
    auto body = zstd_stream(text);
    for (const auto &request :
         {request_of("br", text), request_of("gzip, br", text),
          request_of("zstd", text), request_of("gzip", body),
          request_of("", body), request_of("gzip", ""), request_of("", ""),
          request_of("zstd", zstd_stream("")),
          request_of("zstd", body.substr(0, body.size() - 1)),
          request_of("zstd", body + "x"), request_of("zstd", body + body),
          request_of("zstd", body, text.size() - 1),
          request_of("", text, text.size() - 1),
          request_of("", text.substr(0, text.size() - 1))}) {
        EXPECT_EQ(request.naming, Naming::unreadable);
        EXPECT_EQ(request.model.view(), "");
    }
}

TEST(RequestModel, WhatIsNearlyJson) {
    std::string text = R"({"model":"a","x":['"'],"model":"b","y":['"']})";
    EXPECT_EQ(request_of("", text).naming, Naming::unreadable);
    EXPECT_EQ(request_of("gzip", gzipped(text)).naming, Naming::unreadable);
    EXPECT_EQ(request_of("zstd", zstd_stream(text)).naming,
              Naming::unreadable);
}

TEST(RequestModel, TellsWhatIsTooLarge) {
    auto text = codex_body();
    for (auto [codings, body] :
         {std::pair{"", text}, {"zstd", zstd_stream(text)}}) {
        RequestModel model{100};
        EXPECT_TRUE(model.add_encoding(codings));
        EXPECT_FALSE(model.take(body));
        EXPECT_TRUE(model.is_too_large());
        EXPECT_EQ(model.end().naming, Naming::unreadable);
    }
    RequestModel broken{100};
    EXPECT_TRUE(broken.add_encoding("zstd"));
    EXPECT_FALSE(broken.take(text));
    EXPECT_FALSE(broken.is_too_large());
}

TEST(RequestModel, OfTheTextAndNotOfItsCoding) {
    std::string shown = R"({"model":"x"})";
    auto body = zstd_raw(shown);
    ASSERT_NE(body.find(shown), std::string::npos);
    EXPECT_EQ(request_of("zstd", body).model.view(), "x");
    EXPECT_EQ(request_of("", body).naming, Naming::unreadable);

    // A frame to be skipped is no text, whatever is in it.
    std::string skipped{"\x50\x2A\x4D\x18\x0D\0\0\0", 8};
    skipped += shown;
    EXPECT_EQ(request_of("zstd", skipped).naming, Naming::unreadable);
    EXPECT_EQ(request_of("zstd", skipped + zstd_raw(R"({"model":"y"})"))
                  .model.view(),
              "y");
    EXPECT_EQ(request_of("zstd", zstd_raw("{}") + skipped).naming,
              Naming::missing);
}

TEST(RequestModel, NamedTwiceOrNot) {
    auto twice = R"({"model":"a",)"
                 R"("model":"a"})";
    for (auto [codings, body] :
         {std::pair{"gzip", gzipped(twice)},
          {"zstd", zstd_raw(R"({"model":"a",)") + zstd_raw(R"("model":"b"})")},
          {"zstd, gzip", gzipped(zstd_stream(twice))}}) {
        EXPECT_EQ(request_of(codings, body).naming, Naming::doubled);
    }
    EXPECT_EQ(request_of("zstd", zstd_stream(R"({"input":[]})")).naming,
              Naming::missing);
}

std::size_t allocated() {
    auto info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

// A request may be long after its body was read.
TEST(RequestModel, FreesWhatItNeeded) {
    auto body = zstd_stream(codex_body(), 23);
    for (std::uint64_t most : {100U, 10'000U}) {
        auto before = allocated();
        RequestModel model{most};
        EXPECT_TRUE(model.add_encoding("zstd"));
        model.take(body);
        if (most == 100) {
            EXPECT_TRUE(model.is_too_large());
        } else {
            EXPECT_EQ(model.end().naming, Naming::named);
        }
        EXPECT_LE(allocated(), before + 1000);
    }
}

TEST(PeekModel, IsWhatTheBeginningNames) {
    EXPECT_EQ(peek_model(R"({"model":"gpt-5","input":[)").model.view(),
              "gpt-5");
    EXPECT_EQ(peek_model(R"({"model":"gpt-5")").naming, Naming::named);
    EXPECT_EQ(peek_model(R"({"model":"gpt-5","generate":false})").prewarm,
              false);

    EXPECT_EQ(peek_model(R"({"model":"a","model":"b"})").model.view(), "a");

    auto name = R"("model":"m"})";
    for (std::size_t size : {kPeek - 12, kPeek - 11}) {
        auto text = "{" + std::string(size, ' ') + name;
        EXPECT_EQ(peek_model(text).naming,
                  size == kPeek - 12 ? Naming::named : Naming::missing);
    }
}

TEST(PeekModel, IsMissingElse) {
    auto text = codex_body();
    for (const auto &beginning :
         {std::string{}, text, zstd_stream(text), gzipped(text),
          zstd_raw(R"({"model":"x"})"), std::string{R"({"model":"gp)"},
          std::string{R"({"model":1})"}, std::string{R"({"a":{"model":"b"}})"},
          std::string{"model=a"}}) {
        auto request = peek_model(beginning);
        EXPECT_EQ(request.naming, Naming::missing) << beginning;
        EXPECT_EQ(request.model.view(), "");
    }
}

}  // namespace
}  // namespace keystile
