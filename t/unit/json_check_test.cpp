#include "json_check.hpp"

#include <gtest/gtest.h>

#include <string>

#include "heap_text.hpp"
#include "pieces.hpp"

namespace keystile {
namespace {

bool is_json(std::string_view text) {
    JsonCheck check;
    check.take(text);
    EXPECT_FALSE(check.is_bad() && check.is_valid()) << text;
    return check.is_valid();
}

// What it says of a text depends neither on how that is cut, nor on what was
// read before; and a slower reader says the same.
void expect_is_json(std::string_view text, bool expected) {
    JsonCheck used;
    for_each_cut(text, [&](auto read) {
        JsonCheck check;
        auto both = [&](std::string_view piece) {
            check.take(piece);
            used.take(piece);
        };
        used.start();
        read(both);
        EXPECT_EQ(check.is_valid(), expected) << text;
        EXPECT_EQ(used.is_valid(), expected) << text;
        EXPECT_EQ(used.is_bad(), check.is_bad()) << text;
    });
    HeapText out;
    EXPECT_EQ(put_compact_json(text, out), expected) << text;
}

TEST(JsonCheck, TakesWhatIsJson) {
    for (std::string_view text :
         {R"({})",
          R"([])",
          R"("")",
          R"(0)",
          R"(-0)",
          R"(12)",
          R"(-1.50e+07)",
          R"(1E9)",
          R"(1e-0)",
          R"(0.0)",
          R"(true)",
          R"(false)",
          R"(null)",
          " \t\r\n[ 1 ,\n{ \"a\" : \" \" , \"a\":[ ]} , null ] \n",
          R"({"":[{},[[]],{"a":{"b":[0,-1,2.5,"x"]}}]})",
          R"("\"\\\/\b\f\n\r\t\u0000\u12aF")",
          R"("\ud83d\ude00\uD800\udc00")",
          R"("\ud800")",
          R"("\udfffx")",
          R"("\\")",
          R"(["\\\"","/*'"])",
          "\"\x7F\xC2\x80\xDF\xBF\"",
          "\"\xE0\xA0\x80\xED\x9F\xBF\xEF\xBF\xBF\"",
          "\"\xEE\x80\x80\xEF\xBB\xBF\"",
          "\"\xF0\x90\x80\x80\xF4\x8F\xBF\xBF\"",
          "{\"\xC3\xA9 sixteen bytes and more\":\"and some "
          "\xF0\x9F\x98\x80\"}",
          R"({"model":"gpt-5","x":"'\"'","model":"gpt-5"})"}) {
        expect_is_json(text, true);
    }
}

TEST(JsonCheck, RefusesBracketsAndCommas) {
    for (std::string_view text : {"",
                                  " ",
                                  "{",
                                  "[",
                                  "]",
                                  "}",
                                  "{]",
                                  "[}",
                                  "[{]}",
                                  "{\"a\":[}]",
                                  ",",
                                  "[1,]",
                                  "[,1]",
                                  "[,]",
                                  "[,,@]",
                                  "[1 2]",
                                  "[\"a\"\"b\"]",
                                  "{,}",
                                  "{\"a\"}",
                                  "{\"a\":}",
                                  "{\"a\":1,}",
                                  "{\"a\":1 \"b\":2}",
                                  "{1:2}",
                                  "{a:1}",
                                  "{\"a\" 1}",
                                  "{\"a\":1:2}",
                                  "{\"a\",1}",
                                  "[1:2]",
                                  "1 2",
                                  "{}{}",
                                  "{},",
                                  "{} x",
                                  "[]]",
                                  "{\"a\":1}}",
                                  "\"a\":1",
                                  ":",
                                  "{[]:1}",
                                  "{null:1}"}) {
        expect_is_json(text, false);
    }
}

TEST(JsonCheck, RefusesNumbersAndWords) {
    for (std::string_view text : {"nul",
                                  "nulll",
                                  "True",
                                  "tru e",
                                  "NaN",
                                  "Infinity",
                                  "-Infinity",
                                  "undefined",
                                  "truefalse",
                                  "@",
                                  "'a'",
                                  "/**/1",
                                  "1//",
                                  "[1]#",
                                  "01",
                                  "-01",
                                  "00",
                                  "-",
                                  "--1",
                                  "+1",
                                  "1.",
                                  ".5",
                                  "-.5",
                                  "1.e1",
                                  "1e",
                                  "1e+",
                                  "1e+-1",
                                  "1e1.5",
                                  "1ee1",
                                  "1e1e1",
                                  "1-1",
                                  "0x10",
                                  "1_0",
                                  "1a",
                                  "[1.]",
                                  "[-]",
                                  "[1e]",
                                  "{\"a\":01}",
                                  "\xC2\xA0"
                                  "1",
                                  "\x0B"
                                  "1",
                                  "1\x0C",
                                  "\xEF\xBB\xBF{}"}) {
        expect_is_json(text, false);
    }
    expect_is_json({"1\0", 2}, false);
    expect_is_json({"\0{}", 3}, false);
}

TEST(JsonCheck, RefusesStrings) {
    for (std::string_view text : {"\"",
                                  "\"a",
                                  "\"\\\"",
                                  "\"\\x41\"",
                                  "\"\\'\"",
                                  "\"\\U0041\"",
                                  "\"\\\n\"",
                                  "\"\\u\"",
                                  "\"\\u12\"",
                                  "\"\\u12G4\"",
                                  "\"\\u123",
                                  "'a\"",
                                  "\"\n\"",
                                  "\"\t\"",
                                  "\"\x01\"",
                                  "\"\x1F\"",
                                  "\"sixteen bytes, and \n\"",
                                  "\"\x80\"",
                                  "\"\xBF\"",
                                  "\"\xC3\"",
                                  "\"\xC3",
                                  "\"\xC3(\"",
                                  "\"\xC3\\u00e9\"",
                                  "\"\xC0\xA2\"",
                                  "\"\xC1\xBF\"",
                                  "\"\xE0\x9F\xBF\"",
                                  "\"\xE0\xA0\"",
                                  "\"\xED\xA0\x80\"",
                                  "\"\xED\xBF\xBF\"",
                                  "\"\xF0\x8F\xBF\xBF\"",
                                  "\"\xF4\x90\x80\x80\"",
                                  "\"\xF5\x80\x80\x80\"",
                                  "\"\xFE\"",
                                  "\"\xFF\"",
                                  "\"\xF0\x9F\x98\"",
                                  "\"\xF0\x9F\x98(\"",
                                  "{\"\xFF\":1}",
                                  "{\"a\n\":1}"}) {
        expect_is_json(text, false);
    }
    expect_is_json({"\"\0\"", 3}, false);
}

// In which keystile had read one model, and a lenient reader reads another.
TEST(JsonCheck, RefusesWhatCanBeReadInTwoWays) {
    for (std::string_view text :
         {R"({"model":"a","x":['"'],"model":"b","y":['"']})",
          R"({"model":"a","x":[/*"*/],"model":"b","y":[/*"*/]})",
          R"({"model":"a","x":[,,@]})", R"({"model":"a","x":[}})",
          "{\"model\":\"a\",\"x\":[//\"\n],\"model\":\"b\",\"y\":[//\"\n]}"}) {
        expect_is_json(text, false);
    }
}

TEST(JsonCheck, EveryBeginningOfADocumentIsNone) {
    const std::string_view text =
        R"({"a":[{"b":"\u00e9\\"},-1.5e+3,true],"c":null})";
    for (std::size_t size = 0; size < text.size(); size++) {
        JsonCheck check;
        check.take(text.substr(0, size));
        EXPECT_FALSE(check.is_valid()) << size;
        EXPECT_FALSE(check.is_bad()) << size;
    }
    EXPECT_TRUE(is_json(text));
}

// Each byte in each place of a document.
TEST(JsonCheck, AgreesWithASlowerReader) {
    const std::string_view text =
        "{\"a\\n\":[ 10,-0.5E1,\"\xE2\x82\xAC\\u00Ff\",true]}";
    for (std::size_t at = 0; at < text.size(); at++) {
        for (int byte = 0; byte < 256; byte++) {
            std::string changed{text};
            changed[at] = static_cast<char>(byte);
            HeapText out;
            EXPECT_EQ(is_json(changed), put_compact_json(changed, out))
                << changed;
        }
    }
}

TEST(JsonCheck, GoesSoDeepAndNoDeeper) {
    auto nested = [](std::size_t depth) {
        std::string text;
        for (std::size_t i = 0; i < depth; i++) {
            text += i % 3 == 0 ? "[" : R"({"a":)";
        }
        text += "1";
        for (std::size_t i = depth; i-- > 0;) {
            text += i % 3 == 0 ? "]" : "}";
        }
        return text;
    };
    EXPECT_TRUE(is_json(nested(kDeepestJson)));
    EXPECT_FALSE(is_json(nested(kDeepestJson + 1)));
    EXPECT_FALSE(is_json(std::string(100'000, '[')));
}

}  // namespace
}  // namespace keystile
