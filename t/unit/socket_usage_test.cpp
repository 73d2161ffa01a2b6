#include "socket_usage.hpp"

#include <gtest/gtest.h>

#include <string>

#include "pieces.hpp"
#include "usage_text.hpp"
#include "websocket_writer.hpp"

namespace keystile {
namespace {

constexpr FrameOptions kMasked{.is_masked = true};

const std::string kPrewarm =
    R"({"type":"response.create","model":"gpt-5","generate":false,"input":[]})";
const std::string kTurn =
    R"({"type":"response.create","model":"gpt-5","input":[{"generate":false}]})";

std::string created(const std::string &id) {
    return R"({"type":"response.created","response":{"id":")" + id +
           R"(","model":"gpt-5"}})";
}

std::string completed(const std::string &id, const std::string &output) {
    return R"({"type":"response.completed","response":{"id":")" + id +
           R"(","model":"gpt-5","usage":{"input_tokens":10,)"
           R"("output_tokens":)" +
           output + "}}}";
}

const std::string kError =
    R"({"type":"error","status":429,"error":{"code":"rate_limit"}})";

std::string text(const std::string &json) { return frame(kTextFrame, json); }

std::string asked(SocketUsage &socket, const std::string &json) {
    auto bytes = frame(kTextFrame, json, kMasked);
    std::string models;
    std::string_view piece = bytes;
    while (auto request = socket.from_client(piece)) {
        models += std::string{request->model.view()} + "|";
    }
    return models;
}

template <typename Read>
std::string answered(SocketUsage &socket, Read read) {
    std::string usages;
    read([&](std::string_view piece) {
        while (auto usage = socket.from_provider(piece)) {
            usages += text_of(*usage) + "|";
        }
    });
    return usages;
}

std::string answered(SocketUsage &socket, const std::string &bytes) {
    return answered(socket, [&bytes](auto take) { take(bytes); });
}

// As Codex does: a prewarm, a turn, and what goes between them.
TEST(SocketUsage, APrewarmIsToldFromATurnHoweverItIsCut) {
    auto stream =
        text(created("r1")) + text(completed("r1", "0")) +
        text(R"({"type":"codex.rate_limits","rate_limits":{"primary":{}}})") +
        frame(kTextFrame, created("r2").substr(0, 20), {.is_last = false}) +
        frame(kPingFrame, "{}") +
        frame(kContinuationFrame, created("r2").substr(20)) +
        text(R"({"type":"response.output_text.delta","delta":"x"})") +
        frame(kBinaryFrame, completed("r2", "99")) +
        text(completed("r2", "7"));
    for_each_cut(stream, [](auto read) {
        SocketUsage socket;
        EXPECT_EQ(asked(socket, kPrewarm), "gpt-5|");
        EXPECT_EQ(asked(socket, kTurn), "gpt-5|");
        EXPECT_EQ(answered(socket, read),
                  "in 10 out 0 of gpt-5 complete prewarm|"
                  "in 10 out 7 of gpt-5 complete|");
        EXPECT_EQ(socket.waiting(), 0U);
    });
}

TEST(SocketUsage, RequestsHoweverTheyAreCut) {
    auto stream = frame(kTextFrame, kTurn, kMasked) +
                  frame(kPongFrame, "", kMasked) +
                  frame(kTextFrame, R"({"type":"response.cancel"})", kMasked) +
                  frame(kTextFrame, kPrewarm, kMasked);
    for_each_cut(stream, [](auto read) {
        SocketUsage socket;
        std::string prewarms;
        read([&](std::string_view piece) {
            while (auto request = socket.from_client(piece)) {
                prewarms += request->prewarm ? "prewarm|" : "turn|";
            }
        });
        EXPECT_EQ(prewarms, "turn|prewarm|");
        EXPECT_EQ(socket.waiting(), 2U);
    });
}

TEST(SocketUsage, AnErrorAnswers) {
    SocketUsage socket;
    asked(socket, kPrewarm);
    EXPECT_EQ(answered(socket, text(kError)), "error prewarm|");
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(created("r")) + text(completed("r", "1"))),
              "in 10 out 1 of gpt-5 complete|");
}

TEST(SocketUsage, AnAnswerThatEndsTwiceIsOne) {
    SocketUsage socket;
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(created("r1")) + text(kError)),
              "of gpt-5 error|");
    asked(socket, kPrewarm);
    EXPECT_EQ(
        answered(socket,
                 text(R"({"type":"response.failed","response":{"id":"r1"}})")),
        "");
    EXPECT_EQ(socket.waiting(), 1U);
    EXPECT_EQ(
        answered(socket, text(created("r2")) + text(completed("r2", "0")) +
                             text(completed("r2", "0"))),
        "in 10 out 0 of gpt-5 complete prewarm|");
}

// An error for something that was no turn, which a client may send for that.
TEST(SocketUsage, AnAnswerMayGoOnAfterAnError) {
    const auto begun = text(created("r1")) + text(kError);
    const auto failed =
        text(R"({"type":"response.failed","response":{"id":"r1"}})");
    struct {
        std::string then;
        bool in_doubt;
    } cases[] = {
        {"", true},
        {text(R"({"type":"response.output_text.delta","delta":"x"})"), true},
        {text(created("r1")), true},
        {text(created("r2")), false},
        {text(completed("r1", "5")), false},
        {text(kError), true},
        {text(created("r1")) + text(kError), true},
        {text(kError) + text(completed("r1", "5")), false},
        {failed, false},
    };
    for (const auto &c : cases) {
        SocketUsage socket;
        asked(socket, kTurn);
        asked(socket, kTurn);
        EXPECT_FALSE(socket.in_doubt());
        answered(socket, begun);
        answered(socket, c.then);
        EXPECT_EQ(socket.in_doubt(), c.in_doubt) << c.then;
        answered(socket, text(created("r3")) + text(completed("r3", "1")));
        EXPECT_FALSE(socket.in_doubt()) << c.then;
    }
    SocketUsage alone;
    asked(alone, kTurn);
    answered(alone, begun + text(kError));
    EXPECT_TRUE(alone.in_doubt());
    EXPECT_EQ(answered(alone, text(completed("r1", "5"))),
              "in 10 out 5 of gpt-5 complete late|");
}

// However many errors a client asks for, what came before them is not forgotten.
TEST(SocketUsage, WhatCameBeforeAnError) {
    const auto delta = text(R"({"type":"response.output_text.delta"})");
    for (const auto &again : {std::string{}, text(created("r1"))}) {
        SocketUsage socket;
        asked(socket, kTurn);
        answered(socket, text(created("r1")) + delta + delta + text(kError));
        answered(socket, delta + again + text(kError) + delta + text(kError));
        EXPECT_TRUE(socket.in_doubt());
        EXPECT_EQ(socket.unfinished().texts, 8U);
        EXPECT_EQ(text_of(socket.unfinished()), "of gpt-5");
        EXPECT_EQ(answered(socket, delta + text(completed("r1", "5"))),
                  "in 10 out 5 of gpt-5 complete late|");
        EXPECT_EQ(socket.unfinished().texts, 0U);
        EXPECT_EQ(text_of(socket.unfinished()), "");
    }
}

// It is a turn without figures, like others.
TEST(SocketUsage, AnAnswerWithoutFiguresAfterAnError) {
    const auto done =
        text(R"({"type":"response.completed","response":{"id":"r1"}})");
    SocketUsage socket;
    asked(socket, kTurn);
    answered(socket, text(created("r1")) + text(kError));
    EXPECT_EQ(answered(socket, done), "of gpt-5 complete late|");
    EXPECT_FALSE(socket.in_doubt());
    EXPECT_EQ(answered(socket, done), "");
}

// The client sent that before it asked.
TEST(SocketUsage, AnAnswerMayBeginAfterAnError) {
    SocketUsage socket;
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(kError)), "error|");
    EXPECT_FALSE(socket.in_doubt());
    EXPECT_EQ(answered(socket, text(created("r1"))), "");
    EXPECT_TRUE(socket.in_doubt());
    EXPECT_FALSE(socket.doubted_is_unasked());
    EXPECT_EQ(text_of(socket.unfinished()), "of gpt-5");
    EXPECT_EQ(answered(socket, text(completed("r1", "5"))),
              "in 10 out 5 of gpt-5 complete late|");
    EXPECT_FALSE(socket.in_doubt());
    EXPECT_EQ(answered(socket, text(completed("r2", "1"))),
              "in 10 out 1 of gpt-5 complete unasked|");
}

// As many as were asked for are turns, whichever of them the errors ended.
TEST(SocketUsage, AnErrorBeforeTheAnswersOfTwoTurns) {
    SocketUsage socket;
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(kError)), "error|");
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(created("r1")) + text(kError)),
              "of gpt-5 error|");
    EXPECT_EQ(
        answered(socket, text(completed("r1", "5")) + text(created("r2")) +
                             text(completed("r2", "6"))),
        "in 10 out 5 of gpt-5 complete late|"
        "in 10 out 6 of gpt-5 complete late|");
    EXPECT_FALSE(socket.in_doubt());
    EXPECT_EQ(socket.waiting(), 0U);
}

TEST(SocketUsage, WhatHasNotEnded) {
    SocketUsage socket;
    asked(socket, kPrewarm);
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(created("r"))), "");
    EXPECT_EQ(text_of(socket.unfinished()), "of gpt-5 prewarm");
    EXPECT_EQ(socket.waiting(), 2U);
}

TEST(SocketUsage, ManyThatWait) {
    SocketUsage socket;
    for (int i = 0; i < 200; i++) {
        asked(socket, i == 63 || i == 64 ? kPrewarm : kTurn);
    }
    EXPECT_EQ(socket.waiting(), 200U);
    for (int i = 0; i < 200; i++) {
        auto id = "r" + std::to_string(i);
        EXPECT_EQ(answered(socket, text(completed(id, "1"))),
                  std::string{"in 10 out 1 of gpt-5 complete"} +
                      (i == 63 ? " prewarm|" : "|"));
    }
    EXPECT_EQ(socket.waiting(), 0U);
}

TEST(SocketUsage, AnAnswerThatNobodyAskedFor) {
    SocketUsage socket;
    EXPECT_EQ(answered(socket, text(completed("r", "1"))),
              "in 10 out 1 of gpt-5 complete unasked|");
    EXPECT_EQ(socket.waiting(), 0U);
    EXPECT_EQ(answered(socket, text(created("s")) + text(kError) +
                                   text(completed("s", "1"))),
              "of gpt-5 error unasked|"
              "in 10 out 1 of gpt-5 complete late unasked|");
    answered(socket, text(created("t")));
    EXPECT_TRUE(socket.in_doubt());
    EXPECT_TRUE(socket.doubted_is_unasked());
    answered(socket, text(kError));
    EXPECT_TRUE(socket.in_doubt());
    EXPECT_TRUE(socket.doubted_is_unasked());
}

TEST(SocketUsage, AnErrorThatRefusesTheCredential) {
    SocketUsage socket;
    for (const auto *error : {
             R"({"type":"error","status":401,"error":{"code":"x"}})",
             R"({"type":"error","status_code":403})",
             R"({"error":{"code":"Invalid_API_key","message":"x"}})",
             R"({"error":{"type":"authentication_error"},"type":"error"})",
             R"({"error":{"code":400,"status":"UNAUTHENTICATED"}})",
             R"({"error":{"message":)"
             R"("API key not valid. Please pass a valid API key."}})",
             R"({"code":"x","error":"Incorrect API key provided: xa***yz. )"
             R"(You can obtain an API key from https://console.x.ai."})",
             R"({"error":"Incorrect API key provided. You can obtain an API )"
             R"(key from https://console.x.ai."})",
             R"({"type":"error","code":"invalid_api_key","message":"x"})",
             R"({"type":"error","message":)"
             R"("API key not valid. Please pass a valid API key."})",
             R"({"type":"response.error","error":{"code":"invalid_api_key"}})",
             R"({"error":{"code":401,"message":"x"}})",
             R"({"type":"error","error":{"status":403}})",
         }) {
        EXPECT_EQ(answered(socket, text(error)), "error refusal unasked|")
            << error;
    }
    for (const auto *error : {
             R"({"type":"error","status":400,"error":{"code":"401"}})",
             R"({"type":"error","error":{"message":"invalid_api_key"}})",
             R"({"type":"error","error":{"message":"Incorrect API key )"
             R"(provided: x","x":{"code":"invalid_api_key"}}})",
             R"({"type":"error","error":"No invalid_api_key"})",
         }) {
        EXPECT_EQ(answered(socket, text(error)), "error unasked|") << error;
    }
}

TEST(SocketUsage, NumbersThatAreNoStatus) {
    SocketUsage socket;
    for (const auto *error :
         {R"({"type":"error","status":401,"error":{"code":0}})",
          R"({"type":"error","status":403,"error":{"code":100,"x":1}})"}) {
        EXPECT_EQ(answered(socket, text(R"({"type":"x","code":401})")), "");
        EXPECT_EQ(answered(socket, text(kError)), "error unasked|");
        EXPECT_EQ(answered(socket, text(error)), "error refusal unasked|");
    }
}

TEST(SocketUsage, ATurnThatFailsForTheCredential) {
    SocketUsage socket;
    EXPECT_EQ(
        answered(socket, text(R"({"type":"x","code":"invalid_api_key"})") +
                             text(R"({"type":"error"})")),
        "error unasked|");
    EXPECT_EQ(
        answered(socket, text(R"({"type":"response.failed","response":{)"
                              R"("error":{"code":"invalid_api_key"}}})")),
        "complete error refusal unasked|");
}

TEST(SocketUsage, ARefusalIsOneWhateverItIsFor) {
    const auto refused =
        text(R"({"type":"error","response":{"id":"r"},"status":401})");
    SocketUsage socket;
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(completed("r", "1")) + refused + refused),
              "in 10 out 1 of gpt-5 complete|"
              "error refusal late|error refusal late|");
}

// Of the Realtime interface: by another model, and of no answer.
TEST(SocketUsage, WhatWasSaidIsBesideTheAnswers) {
    const auto transcribed =
        text(R"({"type":"conversation.item.input_audio_transcription.)"
             R"(completed","transcript":"x","usage":{"type":"tokens",)"
             R"("input_tokens":7,"output_tokens":8,)"
             R"("input_token_details":{"cached_tokens":2}}})");
    SocketUsage socket;
    const std::string alone = "in 7 cached 2 out 8 unasked beside|";
    EXPECT_EQ(answered(socket, transcribed + transcribed), alone + alone);
    asked(socket, kTurn);
    EXPECT_EQ(answered(socket, text(created("r")) + transcribed +
                                   text(completed("r", "1"))),
              "in 7 cached 2 out 8 of gpt-5 unasked beside|"
              "in 10 out 1 of gpt-5 complete|");
    EXPECT_EQ(socket.waiting(), 0U);
    EXPECT_FALSE(socket.in_doubt());
}

// A request of its own is what comes of it, if anything does.
TEST(SocketUsage, APrewarmThatFailsExcusesNothing) {
    SocketUsage socket;
    asked(socket, kPrewarm);
    EXPECT_EQ(answered(socket, text(kError)), "error prewarm|");
    EXPECT_EQ(answered(socket, text(completed("r", "1"))),
              "in 10 out 1 of gpt-5 complete unasked|");
}

// The sizes of the messages that may be refusals, after each byte; what is
// held of them.
TEST(SocketUsage, WhatMayBeARefusal) {
    const std::string ping = frame(kPingFrame, "p");
    struct {
        std::string bytes;
        std::string held;  // a letter for each byte: whether it may be
    } cases[] = {
        {text(R"({"type":"x"})"), "yyyyyyyyyyyynn"},
        {text(R"({"type":"error"})"), "yyyyyyyyyyyyyyyyyn"},
        {text(R"({"type":1,"error":"x"})"), "yyyyyyyyyyynnnnnnnnnnnyn"},
        {text(R"({"a":"x"})"), "yyyyyyyyyyn"},
        {ping, "nnn"},
        {frame(kBinaryFrame, "{}"), "nnnn"},
        {frame(kTextFrame, "{", {.is_last = false}) + ping +
             frame(kContinuationFrame, "}"),
         "yyyyyyyyn"},
    };
    SocketUsage socket;
    for (const auto &[bytes, held] : cases) {
        std::string seen;
        for (std::size_t i = 0; i < bytes.size(); i++) {
            auto piece = std::string_view{bytes}.substr(i, 1);
            while (socket.from_provider(piece)) {
            }
            seen += socket.may_be_refusal() ? 'y' : 'n';
            if (socket.may_be_refusal()) {
                EXPECT_EQ(socket.provider().message_size(), i + 1);
            }
        }
        EXPECT_EQ(seen, held) << bytes;
    }
}

TEST(SocketUsage, CompressedFramesAreBroken) {
    SocketUsage socket;
    EXPECT_EQ(answered(socket, frame(kTextFrame, "x", {.rsv = 0x40})), "");
    EXPECT_TRUE(socket.provider().is_broken());
    EXPECT_FALSE(socket.client().is_broken());
}

TEST(SocketUsage, AMessageOf16Megabytes) {
    SocketUsage socket;
    std::string large(16 << 20, 'x');
    EXPECT_EQ(asked(socket, R"({"type":"response.create","input":")" + large +
                                R"(","model":"m"})"),
              "m|");
    EXPECT_EQ(
        answered(socket, text(R"({"type":"response.completed","response":{)"
                              R"("output":[")" +
                              large + R"("],"usage":{"input_tokens":1}}})")),
        "in 1 complete|");
}

}  // namespace
}  // namespace keystile
