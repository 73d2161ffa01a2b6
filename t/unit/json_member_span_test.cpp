#include "json_member_span.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace keystile {
namespace {

using Kind = JsonMemberSpan::Kind;
using Fault = JsonFault::Kind;

// "KIND VALUE" of the member "a", or "FAULT at OFFSET".
std::string find_a(std::string_view text) {
    constexpr const char *kinds[] = {"absent", "text", "number", "object",
                                     "array",  "yes",  "no",     "null"};
    constexpr const char *faults[] = {"syntax", "depth", "no_object",
                                      "doubled"};
    std::array<JsonMemberSpan, 2> wanted{{{"b"}, {"a"}}};
    if (auto fault = find_json_members(text, wanted)) {
        return faults[static_cast<int>(fault->kind)] + std::string{" at "} +
               std::to_string(fault->offset);
    }
    return kinds[static_cast<int>(wanted[1].kind)] + std::string{" "} +
           std::string{wanted[1].value};
}

std::string resolved(std::string_view quoted) {
    std::string bytes(quoted.size(), '\0');
    auto *end = JsonBytes{quoted}.write(bytes.data());
    bytes.resize(static_cast<std::size_t>(end - bytes.data()));
    return bytes;
}

TEST(JsonMemberSpan, FindsMembersOfEachKind) {
    struct {
        const char *text;
        const char *found;
    } cases[] = {
        {"{}", "absent "},
        {" \t\r\n{ } \n", "absent "},
        {R"({"a":""})", "text "},
        {R"({"a":"x"})", "text x"},
        {R"({"b":1, "a" : "x\"y\\" , "c":[]})", R"(text x\"y\\)"},
        {R"({"a":0})", "number 0"},
        {R"({"a": -12.5e+3 })", "number -12.5e+3"},
        {R"({"a":{"a":1}})", R"(object {"a":1})"},
        {R"({"a":[ 1, {"a":2} ]})", R"(array [ 1, {"a":2} ])"},
        {R"({"a":true})", "yes true"},
        {R"({"a":false})", "no false"},
        {R"({"a":null})", "null null"},
        {R"({"c":{"a":1},"d":[{"a":1}]})", "absent "},
        {R"({"c":"{\"a\":1}","A":1,"aa":2})", "absent "},
        {R"({"\u0061":"x"})", "text x"},
        {R"({"c":1,"c":2,"a":3})", "number 3"},
        {"{\"a\":\"\xC3\xA9\"}", "text \xC3\xA9"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(find_a(c.text), c.found) << c.text;
    }
}

TEST(JsonMemberSpan, SaysWhatIsNoJsonAndWhere) {
    struct {
        const char *text;
        const char *found;
    } cases[] = {
        {"", "syntax at 0"},
        {"  ", "syntax at 2"},
        {"[]", "no_object at 0"},
        {" \"a\"", "no_object at 1"},
        {"sk-test", "no_object at 0"},
        {"\xEF\xBB\xBF{}", "no_object at 0"},
        {"{", "syntax at 1"},
        {"{\"", "syntax at 2"},
        {"{\"a", "syntax at 3"},
        {"{\"a\"", "syntax at 4"},
        {"{\"a\":", "syntax at 5"},
        {"{\"a\":\"x", "syntax at 7"},
        {"{\"a\":\"x\"", "syntax at 8"},
        {"{\"a\":\"x\\", "syntax at 8"},
        {"{\"a\":\"x\\\"", "syntax at 9"},
        {"{\"a\":\"\\x\"}", "syntax at 7"},
        {"{\"a\":\"\\u00g0\"}", "syntax at 10"},
        {"{\"a\":\"\t\"}", "syntax at 6"},
        {"{\"a\":\"\n\"}", "syntax at 6"},
        {"{\"a\":1,}", "syntax at 7"},
        {"{,}", "syntax at 1"},
        {"{a:1}", "syntax at 1"},
        {"{'a':1}", "syntax at 1"},
        {"{\"a\" 1}", "syntax at 5"},
        {"{\"a\":1 \"b\":2}", "syntax at 7"},
        {"{\"a\":}", "syntax at 5"},
        {"{\"a\":01}", "syntax at 6"},
        {"{\"a\":1.}", "syntax at 7"},
        {"{\"a\":.5}", "syntax at 5"},
        {"{\"a\":+1}", "syntax at 5"},
        {"{\"a\":-}", "syntax at 6"},
        {"{\"a\":1e}", "syntax at 7"},
        {"{\"a\":NaN}", "syntax at 5"},
        {"{\"a\":True}", "syntax at 5"},
        {"{\"a\":tru}", "syntax at 8"},
        {"{\"a\":nul", "syntax at 8"},
        {"{\"a\":[1,]}", "syntax at 8"},
        {"{\"a\":[1}", "syntax at 7"},
        {"{\"a\":[1", "syntax at 7"},
        {"{\"a\":{]}", "syntax at 6"},
        {"{} {}", "syntax at 3"},
        {"{}x", "syntax at 2"},
        {"{} // x", "syntax at 3"},
        {R"({"a":1,"a":2})", "doubled at 7"},
        {R"({"a":1,"\u0061":2})", "doubled at 7"},
        {R"({"b":1,"c":2, "b":3})", "doubled at 14"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(find_a(c.text), c.found) << c.text;
    }
    EXPECT_EQ(find_a(std::string_view{"{\"a\":\"\0\"}", 9}), "syntax at 6");
    EXPECT_EQ(find_a(std::string_view{"{}\0", 3}), "syntax at 2");
}

TEST(JsonMemberSpan, IsOnlySoDeep) {
    auto nested = [](std::size_t depth) {
        return "{\"a\":" + std::string(depth - 1, '[') +
               std::string(depth - 1, ']') + "}";
    };
    EXPECT_TRUE(find_a(nested(JsonFault::kMostDepth)).starts_with("array "));
    EXPECT_EQ(find_a(nested(JsonFault::kMostDepth + 1)), "depth at 36");
    EXPECT_EQ(find_a(nested(1'000'000)), "depth at 36");
    std::string objects;
    for (int i = 0; i < 100'000; i++) {
        objects += "{\"a\":";
    }
    EXPECT_EQ(find_a(objects), "depth at 160");
}

// Each beginning of a text is told from the whole.
TEST(JsonMemberSpan, EveryCutIsSeen) {
    const std::string text =
        R"({"b":[1,-2.5e1,"\u00e9"],"c":{"d":null,"e":[true]},"a":"x\n"})";
    EXPECT_EQ(find_a(text), R"(text x\n)");
    for (std::size_t size = 0; size < text.size(); size++) {
        EXPECT_EQ(find_a(text.substr(0, size)),
                  "syntax at " + std::to_string(size));
    }
}

TEST(JsonMemberSpan, ResolvesEscapes) {
    EXPECT_EQ(resolved(R"(a\"\\\/\b\f\n\r\tz)"), "a\"\\/\b\f\n\r\tz");
    EXPECT_EQ(resolved(R"(\u0041\u007A\u007f)"), "Az\x7F");
    EXPECT_EQ(resolved(R"(\u00e9\ud83d\ude00\u0080)"), "\xFF\xFF\xFF\xFF");
    EXPECT_EQ(resolved(R"(\u0000)"), std::string(1, '\0'));
    EXPECT_EQ(resolved("\xC3\xA9"), "\xC3\xA9");
    EXPECT_TRUE(JsonBytes{R"(https:\/\/a)"}.is("https://a"));
    EXPECT_FALSE(JsonBytes{"ab"}.is("a"));
    EXPECT_FALSE(JsonBytes{"a"}.is("ab"));
    EXPECT_FALSE(JsonBytes{""}.is("a"));
    EXPECT_TRUE(JsonBytes{""}.is(""));
}

}  // namespace
}  // namespace keystile
