#include "escaped_text.hpp"

#include <gtest/gtest.h>

#include "made_up_report.hpp"

namespace keystile {
namespace {

TEST(EscapedText, CodePointsOfUtf8) {
    struct {
        std::string_view text;
        std::size_t size;
    } cases[] = {
        {"", 0},
        {"a", 1},
        {"ab", 1},
        {{"\0", 1}, 1},
        {"\x7F", 1},
        {"\x80", 0},
        {"\xBF", 0},
        {"\xC1\xBF", 0},  // overlong
        {"\xC2\x80", 2},
        {"\xDF\xBF", 2},
        {"\xDF", 0},
        {{"\xDF\xBF", 1}, 0},
        {{"\xF0\x9F\x98\x80", 3}, 0},
        {"\xDF"
         "a",
         0},
        {"\xDF\xC0", 0},
        {"\xE0\x9F\xBF", 0},  // overlong
        {"\xE0\xA0\x80", 3},
        {"\xED\x9F\xBF", 3},
        {"\xED\xA0\x80", 0},  // a surrogate
        {"\xEE\x80\x80", 3},
        {"\xEF\xBF\xBF", 3},
        {"\xEF\xBF", 0},
        {"\xEF\xBF\x7F", 0},
        {"\xF0\x8F\xBF\xBF", 0},  // overlong
        {"\xF0\x90\x80\x80", 4},
        {"\xF0\x9F\x98\x80"
         "a",
         4},
        {"\xF4\x8F\xBF\xBF", 4},
        {"\xF4\x90\x80\x80", 0},  // more than U+10FFFF
        {"\xF5\x80\x80\x80", 0},
        {"\xFF", 0},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(utf8_size(c.text), c.size) << c.text;
    }
}

TEST(EscapedText, Puts) {
    auto escape_of = [](char c) {
        return c == 'x' ? std::string_view{"[x]"} : std::string_view{};
    };
    struct {
        const char *text;
        const char *put;
    } cases[] = {
        {"", ""},
        {"abc", "abc"},
        {"xaxxbx", "[x]a[x][x]b[x]"},
        {"\xC3\xA9x\xC3\xA9", "\xC3\xA9[x]\xC3\xA9"},
        {"a\xFF"
         "b\xC3",
         "a\xEF\xBF\xBD"
         "b\xEF\xBF\xBD"},
        {"\xC3x", "\xEF\xBF\xBD[x]"},
    };
    for (const auto &c : cases) {
        StringSink sink;
        put_escaped(sink, c.text, escape_of);
        EXPECT_EQ(sink.text(), c.put);
    }
}

}  // namespace
}  // namespace keystile
