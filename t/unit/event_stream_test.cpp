#include "event_stream.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "pieces.hpp"

namespace keystile {
namespace {

// The events, as "data|" each, "[DONE]" as "done|"; what has not ended, last.
template <typename Read>
std::string events_of(Read read) {
    EventStream stream;
    std::string out;
    std::string data;
    read([&](std::string_view piece) {
        while (auto part = stream.next(piece)) {
            if (part->kind == EventPart::Kind::data) {
                data += part->data;
                continue;
            }
            bool is_done = part->kind == EventPart::Kind::done;
            EXPECT_EQ(is_done, data == "[DONE]");
            out += (is_done ? "done" : data) + "|";
            data.clear();
        }
        EXPECT_TRUE(piece.empty());
    });
    return out + data;
}

std::string with_line_ends(std::string text, const std::string &end) {
    for (std::size_t at = 0; (at = text.find('\n', at)) != std::string::npos;
         at += end.size()) {
        text.replace(at, 1, end);
    }
    return text;
}

// `events` are written with "\n" whatever the stream uses.
void expect(const std::string &text, const std::string &events) {
    for (std::string end : {"\n", "\r", "\r\n"}) {
        for_each_cut(with_line_ends(text, end), [&](auto read) {
            EXPECT_EQ(events_of(read), events) << text;
        });
    }
}

TEST(EventStream, Events) {
    expect("data: a\n\ndata: b\n\n", "a|b|");
    expect("event: x\ndata: {\"a\":1}\nid: 3\nretry: 5\n\n", "{\"a\":1}|");
    expect("data:a\n\ndata:  b\n\n", "a| b|");
    expect("data: a: b\n\n", "a: b|");
}

TEST(EventStream, FieldsOfDataAreJoined) {
    expect("data: a\ndata: b\n\n", "a\nb|");
    expect("data: a\n: no\nevent: no\ndata\ndata:\ndata: b\n\n", "a\n\n\nb|");
    expect("data: {\ndata:  1}\n\n", "{\n 1}|");
}

TEST(EventStream, EmptyEvents) {
    expect("\n\n\n", "");
    expect("event: x\n\n: comment\n\n", "");
    expect("data\n\n", "|");
    expect("data:\n\ndata: \n\n", "||");
    expect("\n\ndata: a\n\n\n\n", "a|");
}

TEST(EventStream, OnlyFieldsNamedDataAreData) {
    expect(
        " data: a\n\ndat: a\n\nData: a\n\ndata : a\n\ndatas: a\n\n"
        "xdata: a\n\n:data: a\n\n",
        "");
}

TEST(EventStream, AMarkAtTheBeginningIsNone) {
    expect(
        "\xEF\xBB\xBF"
        "data: a\n\n",
        "a|");
    expect("\xEF\xBB\xBF\ndata: a\n\n", "a|");
    expect(
        "\xEF\xBB"
        "data: a\ndata: b\n\n",
        "b|");
    expect("\xEF\xBB\ndata: b\n\n", "b|");
    expect(
        "\xEF\xBB\xBF\xEF\xBB\xBF"
        "data: a\ndata: b\n\n",
        "b|");
    expect(
        "\n\xEF\xBB\xBF"
        "data: a\n\n",
        "");
}

TEST(EventStream, Done) {
    expect("data: a\n\ndata: [DONE]\n\n", "a|done|");
    expect("data:[DONE]\n\ndata: b\n\n", "done|b|");
    expect("data: [DONE\n\n", "[DONE|");
    expect("data: [DONE]]\n\n", "[DONE]]|");
    expect("data:  [DONE]\n\n", " [DONE]|");
    expect("data: [DO\ndata: NE]\n\n", "[DO\nNE]|");
    expect("data:\ndata: [DONE]\n\n", "\n[DONE]|");
    expect("data: [DONE]\ndata\n\n", "[DONE]\n|");
}

TEST(EventStream, WhatHasNoEndIsNoEvent) {
    expect("data: a\n\ndata: b", "a|b");
    expect("data: a\n", "a");
}

TEST(EventStream, LineEndsCanBeMixed) {
    for_each_cut("data: a\r\rdata: b\n\r\ndata: c\r\n\ndata: d\r\n\r\n",
                 [](auto read) { EXPECT_EQ(events_of(read), "a|b|c|d|"); });
}

// Nothing waits for an LF that may not come.
TEST(EventStream, ACrEndsAnEventAtOnce) {
    EventStream stream;
    std::string_view piece = "data: a\r\n\r";
    EXPECT_EQ(stream.next(piece)->data, "a");
    EXPECT_EQ(stream.next(piece)->kind, EventPart::Kind::end);
}

TEST(EventStream, DataIsShownWhereItIs) {
    EventStream stream;
    const std::string large(16 << 20, 'x');
    std::string_view head = "data: ";
    EXPECT_FALSE(stream.next(head).has_value());
    std::string_view piece = large;
    auto part = stream.next(piece);
    EXPECT_EQ(part->data.data(), large.data());
    EXPECT_EQ(part->data.size(), large.size());
}

}  // namespace
}  // namespace keystile
