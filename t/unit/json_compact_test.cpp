#include "json_compact.hpp"

#include <gtest/gtest.h>

#include <string>

#include "heap_text.hpp"

namespace keystile {
namespace {

std::string compact(std::string_view text) {
    HeapText out;
    return put_compact_json(text, out) ? std::string{out.view()} : "none";
}

TEST(JsonCompact, LeavesTokensAsTheyAre) {
    for (const char *text :
         {"{}", "[]", "null", "true", "false", "0", "-0.10e+05", "1E9",
          "123456789012345678901234567890", R"("")", R"("\"\\\/\b\f\n\r\t")",
          R"("\u00e9\uD800")", "\"\xC3\xA9\x7F\"", R"({"a":1,"a":[{},[]]})",
          R"([1,"a b",{"c d":null}])"}) {
        EXPECT_EQ(compact(text), text);
    }
}

TEST(JsonCompact, TakesSpaceAway) {
    EXPECT_EQ(compact(" \t\r\n[ 1 ,\n{ \"a b\" : \" \" } , [ ] ] "),
              R"([1,{"a b":" "},[]])");
}

TEST(JsonCompact, RefusesWhatIsNoJson) {
    for (const char *text : {"",
                             " ",
                             "{",
                             "[",
                             "]",
                             "}",
                             "{]",
                             "[}",
                             "[1,]",
                             "[,1]",
                             "[1 2]",
                             "{,}",
                             "{\"a\"}",
                             "{\"a\":}",
                             "{\"a\":1,}",
                             "{1:2}",
                             "{\"a\" 1}",
                             "1 2",
                             "{}{}",
                             "{},",
                             "nul",
                             "True",
                             "01",
                             "-",
                             "1.",
                             ".5",
                             "1e",
                             "+1",
                             "1e+",
                             "\"",
                             "\"\\\"",
                             "\"\\x\"",
                             "\"\\u12G4\"",
                             "\"\\u12",
                             "\"\n\"",
                             "\"\x01\"",
                             "\"\xFF\"",
                             "\"\xC3\"",
                             "\"\xED\xA0\x80\"",
                             "\xEF\xBB\xBF{}",
                             "'a'",
                             "NaN"}) {
        EXPECT_EQ(compact(text), "none") << text;
    }
    EXPECT_EQ(compact(std::string_view{"1\0", 2}), "none");
}

TEST(JsonCompact, GoesSoDeepAndNoDeeper) {
    auto nested = [](std::size_t depth) {
        return std::string(depth, '[') + std::string(depth, ']');
    };
    EXPECT_EQ(compact(nested(kDeepestJson)), nested(kDeepestJson));
    EXPECT_EQ(compact(nested(kDeepestJson + 1)), "none");
}

}  // namespace
}  // namespace keystile
