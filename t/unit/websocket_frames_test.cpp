#include "websocket_frames.hpp"

#include <gtest/gtest.h>

#include <string>

#include "pieces.hpp"
#include "websocket_writer.hpp"

namespace keystile {
namespace {

// Text messages as "text|", binary ones as "binary|", a close frame as
// "close|"; what has not ended, last, and "!" if the frames are broken.
template <std::size_t kRoom = 5, typename Read>
std::string messages_of(Read read) {
    WebSocketFrames frames;
    std::array<char, kRoom> room;
    std::string out;
    std::string text;
    read([&](std::string_view piece) {
        while (auto part = frames.next(piece, room)) {
            if (part->kind == FramePart::Kind::text) {
                text += part->text;
            } else if (part->kind == FramePart::Kind::end_of_text) {
                out += text + "|";
                text.clear();
            } else {
                out += part->kind == FramePart::Kind::close ? "close|"
                                                            : "binary|";
            }
        }
        EXPECT_TRUE(piece.empty());
    });
    return out + text + (frames.is_broken() ? "!" : "");
}

void expect(const std::string &bytes, const std::string &messages) {
    for_each_cut(bytes, [&](auto read) {
        EXPECT_EQ(messages_of(read), messages);
        EXPECT_EQ(messages_of<64>(read), messages);
    });
}

constexpr FrameOptions kMasked{.is_masked = true};
constexpr FrameOptions kMore{.is_last = false};
constexpr FrameOptions kMaskedMore{.is_last = false, .is_masked = true};

TEST(WebSocketFrames, TextOfBothDirections) {
    expect(frame(kTextFrame, "Hello") + frame(kTextFrame, "you"),
           "Hello|you|");
    expect(frame(kTextFrame, "Hello there, you", kMasked) +
               frame(kTextFrame, "x", kMasked),
           "Hello there, you|x|");
    expect(frame(kTextFrame, "") + frame(kTextFrame, "", kMasked), "||");
}

TEST(WebSocketFrames, ExamplesOfTheRfc) {
    using namespace std::string_literals;
    expect("\x81\x05\x48\x65\x6c\x6c\x6f"s, "Hello|");
    expect("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"s, "Hello|");
    expect("\x01\x03\x48\x65\x6c\x80\x02\x6c\x6f"s, "Hello|");
}

TEST(WebSocketFrames, Lengths) {
    for (std::size_t size : {124U, 125U, 126U, 127U, 255U, 256U, 1000U}) {
        std::string text(size, 'a');
        expect(frame(kTextFrame, text) + frame(kTextFrame, text, kMasked),
               text + "|" + text + "|");
    }
    for (std::size_t size : {65535U, 65536U, 70000U}) {
        std::string text(size, 'a');
        auto bytes = frame(kTextFrame, text, kMasked) + frame(kTextFrame, "b");
        for (std::size_t piece : {1U, 1000U, 200000U}) {
            EXPECT_EQ(
                messages_of([&](auto take) { in_pieces(bytes, piece, take); }),
                text + "|b|");
        }
    }
    expect(frame(kTextFrame, "a", {.length_bytes = 2}) +
               frame(kTextFrame, "b", {.is_masked = true, .length_bytes = 8}),
           "a|b|");
}

TEST(WebSocketFrames, FragmentsAndControlFramesBetween) {
    expect(frame(kTextFrame, "He", kMaskedMore) +
               frame(kPingFrame, "ping", kMasked) +
               frame(kContinuationFrame, "l", kMaskedMore) +
               frame(kPongFrame, "", kMasked) +
               frame(kContinuationFrame, "", kMaskedMore) +
               frame(kContinuationFrame, "lo", kMasked),
           "Hello|");
    expect(frame(kBinaryFrame, "He", kMore) + frame(kPingFrame, "") +
               frame(kContinuationFrame, "llo") + frame(kTextFrame, "x"),
           "binary|x|");
}

TEST(WebSocketFrames, Close) {
    expect(frame(kTextFrame, "a") + frame(kCloseFrame, "\x03\xE8 bye"),
           "a|close|");
    expect(frame(kCloseFrame, "", kMasked), "close|");
    expect(frame(kTextFrame, "a", kMore) + frame(kCloseFrame, ""), "close|a");
}

TEST(WebSocketFrames, WhatIsNoFrameIsFlagged) {
    auto good = frame(kTextFrame, "a");
    for (unsigned rsv : {0x40U, 0x20U, 0x10U}) {
        expect(good + frame(kTextFrame, "b", {.rsv = rsv}) + good, "a|!");
        expect(frame(kPingFrame, "b", {.rsv = rsv}) + good, "!");
    }
    for (unsigned opcode : {3U, 4U, 5U, 6U, 7U, 11U, 12U, 13U, 14U, 15U}) {
        expect(good + frame(opcode, "b") + good, "a|!");
    }
    expect(good + frame(kContinuationFrame, "b") + good, "a|!");
    expect(frame(kTextFrame, "a", kMore) + good, "a!");
    expect(frame(kTextFrame, "a", kMore) + frame(kBinaryFrame, "b"), "a!");
    expect(frame(kPingFrame, "a", kMore) + good, "!");
    expect(frame(kPingFrame, std::string(126, 'a')) + good, "!");
    expect(frame(kCloseFrame, "", {.length_bytes = 2}) + good, "!");
    expect(std::string{"\x81\x7F\x80\0\0\0\0\0\0\0a", 11} + good, "!");
}

TEST(WebSocketFrames, TellsWhereAFrameMayBePutIn) {
    WebSocketFrames frames;
    std::array<char, 8> room;
    auto feed = [&](const std::string &bytes) {
        std::string_view piece = bytes;
        while (frames.next(piece, room)) {
        }
    };
    EXPECT_TRUE(frames.is_between_messages());
    auto first = frame(kTextFrame, "abc", kMore);
    feed(first.substr(0, 1));
    EXPECT_EQ(frames.payload_left(), 0U);
    feed(first.substr(1, 3));
    EXPECT_FALSE(frames.is_between_frames());
    EXPECT_EQ(frames.payload_left(), 1U);
    feed(first.substr(4));
    EXPECT_EQ(frames.payload_left(), 0U);
    EXPECT_TRUE(frames.is_between_frames());
    EXPECT_FALSE(frames.is_between_messages());
    feed(frame(kPingFrame, "abc"));
    EXPECT_FALSE(frames.is_between_messages());
    feed(frame(kContinuationFrame, ""));
    EXPECT_TRUE(frames.is_between_messages());
}

TEST(WebSocketFrames, ALengthBeyondAllMemory) {
    WebSocketFrames frames;
    std::array<char, 8> room;
    std::string_view head{"\x81\x7F\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 10};
    EXPECT_FALSE(frames.next(head, room).has_value());
    std::string_view piece = "abc";
    EXPECT_EQ(frames.next(piece, room)->text, "abc");
    EXPECT_FALSE(frames.is_broken());
}

}  // namespace
}  // namespace keystile
