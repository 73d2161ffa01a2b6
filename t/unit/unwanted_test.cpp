// Events and messages that are of no interest are passed over whole: what
// comes in pieces, and what is spelled in another way, must give the same.

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "socket_usage.hpp"
#include "usage.hpp"
#include "websocket_writer.hpp"

namespace keystile {
namespace {

const std::string kFigures =
    R"("response":{"id":"r1","model":"m","usage":{"input_tokens":7,"output_tokens":3}}})";

// One event after a delta that only looks as if it told something.
std::string stream(const std::string &type) {
    return "data: {\"type\":\"response.output_text.delta\",\"response\":"
           "{\"usage\":{\"input_tokens\":99,\"output_tokens\":99}}}\n\n"
           "data: {\"type\":\"" +
           type + "\"," + kFigures + "\n\n";
}

Usage read(const std::string &text, std::size_t step) {
    UsageReader reader;
    for (std::size_t at = 0; at < text.size(); at += step) {
        reader.read(std::string_view{text}.substr(at, step));
    }
    reader.end();
    return reader.usage();
}

TEST(Unwanted, EventsWholeAndInPieces) {
    for (auto type :
         {"response.completed", "response.incomplete", "response.failed",
          "response.done", "response.\\u0063ompleted",
          "response.c\\u006fmpleted"}) {
        auto text = stream(type);
        for (std::size_t step = 1; step <= text.size(); step++) {
            auto usage = read(text, step);
            ASSERT_EQ(usage.input, 7U) << type << ' ' << step;
            ASSERT_EQ(usage.output, 3U) << type << ' ' << step;
            ASSERT_TRUE(usage.complete) << type << ' ' << step;
        }
    }
}

TEST(Unwanted, OtherTypesTellNothing) {
    for (auto type : {"response.output_item.done", "response.created_not",
                      "response.conclude", "response.in_progress"}) {
        auto text = stream(type);
        EXPECT_FALSE(read(text, text.size()).complete) << type;
    }
}

TEST(Unwanted, MessagesWholeAndInPieces) {
    auto ask = frame(kTextFrame, R"({"type":"response.create","model":"m"})",
                     {.is_masked = true});
    for (std::size_t padding : {0U, 60U, 80U, 200U, 70000U}) {
        std::string delta =
            R"({"type":"response.output_text.delta","delta":")" +
            std::string(padding, 'x') + "\"}";
        auto bytes =
            frame(kTextFrame, delta) + frame(kPingFrame, "?") +
            frame(kTextFrame, delta) +
            frame(kTextFrame, "{\"type\":\"response.completed\"," + kFigures);
        for (std::size_t step : {1UL, 2UL, 3UL, 61UL, bytes.size()}) {
            SocketUsage usage;
            std::string_view asked{ask};
            ASSERT_TRUE(usage.from_client(asked));
            std::vector<Usage> turns;
            for (std::size_t at = 0; at < bytes.size(); at += step) {
                auto piece = std::string_view{bytes}.substr(at, step);
                while (auto turn = usage.from_provider(piece)) {
                    turns.push_back(*turn);
                }
            }
            ASSERT_EQ(turns.size(), 1U) << padding << ' ' << step;
            EXPECT_EQ(turns[0].input, 7U);
            EXPECT_TRUE(usage.provider().is_between_messages());
        }
    }
}

TEST(Unwanted, AnErrorBesideTheAnswerDoesNotHideIt) {
    auto ask = frame(kTextFrame, R"({"type":"response.create","model":"m"})",
                     {.is_masked = true});
    auto bytes =
        frame(kTextFrame,
              R"({"type":"response.created","response":{"id":"r1"}})") +
        frame(kTextFrame, R"({"type":"error","error":{"code":"x"}})") +
        frame(kTextFrame, "{\"type\":\"response.completed\"," + kFigures);
    SocketUsage usage;
    std::string_view asked{ask};
    ASSERT_TRUE(usage.from_client(asked));
    std::string_view piece{bytes};
    auto first = usage.from_provider(piece);
    ASSERT_TRUE(first);
    EXPECT_TRUE(first->error);
    auto second = usage.from_provider(piece);
    ASSERT_TRUE(second);
    EXPECT_TRUE(second->late);
    EXPECT_EQ(second->output, 3U);
}

}  // namespace
}  // namespace keystile
