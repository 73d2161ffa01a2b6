#include "json_position.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace keystile {
namespace {

std::string find(std::string_view text, std::vector<std::size_t> path,
                 JsonPart part = JsonPart::value) {
    auto position = find_json_element(text, path, part);
    return std::to_string(position.line) + ":" +
           std::to_string(position.column);
}

constexpr std::string_view kText =
    "{ \"version\": 1,\n"
    "  \"clients\" : [\n"
    "    { \"id\": \"a]}\\\\\\\"\", \"keys\": [\"x\", \"y\"] },\n"
    "    [], {}, null, -1.5e3, [[1, 2], {\"k\": [3]}],\n"
    "\t\"\xC3\xA9\xE2\x82\xAC\",\"last\" ] }\n";

TEST(JsonPosition, Values) {
    EXPECT_EQ(find(kText, {}), "1:1");
    EXPECT_EQ(find(kText, {0}), "1:14");
    EXPECT_EQ(find(kText, {1}), "2:15");
    EXPECT_EQ(find(kText, {1, 0}), "3:5");
    EXPECT_EQ(find(kText, {1, 0, 0}), "3:13");
    EXPECT_EQ(find(kText, {1, 0, 1}), "3:32");
    EXPECT_EQ(find(kText, {1, 0, 1, 0}), "3:33");
    EXPECT_EQ(find(kText, {1, 0, 1, 1}), "3:38");
    EXPECT_EQ(find(kText, {1, 1}), "4:5");
    EXPECT_EQ(find(kText, {1, 2}), "4:9");
    EXPECT_EQ(find(kText, {1, 3}), "4:13");
    EXPECT_EQ(find(kText, {1, 4}), "4:19");
    EXPECT_EQ(find(kText, {1, 5, 0, 1}), "4:32");
    EXPECT_EQ(find(kText, {1, 5, 1, 0, 0}), "4:43");
    EXPECT_EQ(find(kText, {1, 6}), "5:2");
    EXPECT_EQ(find(kText, {1, 7}), "5:7");
}

TEST(JsonPosition, Names) {
    EXPECT_EQ(find(kText, {0}, JsonPart::name), "1:3");
    EXPECT_EQ(find(kText, {1}, JsonPart::name), "2:3");
    EXPECT_EQ(find(kText, {1, 0, 1}, JsonPart::name), "3:24");
    EXPECT_EQ(find(kText, {1, 5, 1, 0}, JsonPart::name), "4:37");
    EXPECT_EQ(find(kText, {1, 6}, JsonPart::name), "5:2");
}

TEST(JsonPosition, CompactText) {
    constexpr std::string_view text = R"({"a":[{"b":"c"},"d"],"e":{}})";
    EXPECT_EQ(find(text, {0}), "1:6");
    EXPECT_EQ(find(text, {0, 0, 0}), "1:12");
    EXPECT_EQ(find(text, {0, 1}), "1:17");
    EXPECT_EQ(find(text, {1}), "1:26");
    EXPECT_EQ(find(text, {1}, JsonPart::name), "1:22");
}

TEST(JsonPosition, SpaceBeforeTheRoot) {
    EXPECT_EQ(find("\n \t[1]", {}), "2:3");
    EXPECT_EQ(find("\n \t[1]", {0}), "2:4");
}

// A path that leads nowhere stops at the last container on it.
TEST(JsonPosition, NoSuchElement) {
    EXPECT_EQ(find("[ [], 1 ]", {0, 0}), "1:3");
    EXPECT_EQ(find("[ [], 1 ]", {2}), "1:1");
    EXPECT_EQ(find("[ [], 1 ]", {1, 0}), "1:7");
    EXPECT_EQ(find("{ \"a\" : { } }", {0, 3}), "1:9");
}

// Not asked for, but no reason to read past the end.
TEST(JsonPosition, TextThatIsNotJson) {
    for (auto text : {"", " ", "[", "{\"", "{\"a", "{\"a\"", "{\"a\":", "[[[",
                      "[\"\\", "]", "{,", "[1,,2"}) {
        for (std::size_t i = 0; i < 4; i++) {
            find(text, {i, i, i});
            find(text, {i, i, i}, JsonPart::name);
        }
    }
}

}  // namespace
}  // namespace keystile
