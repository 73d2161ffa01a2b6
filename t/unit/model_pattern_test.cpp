#include "model_pattern.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keystile {
namespace {

TEST(ModelPattern, IsPrintableAndNotLong) {
    for (const auto &text :
         {std::string{"gpt-5"}, std::string{"*"}, std::string{"**"},
          std::string{"!#[]~?"}, std::string{"models/gemini-2.5:x"},
          std::string(64, 'a')}) {
        EXPECT_TRUE(is_model_pattern(text)) << text;
    }
    for (const auto &text :
         {std::string{""}, std::string{"a b"}, std::string{"a\tb"},
          std::string{"a\"b"}, std::string{"a\\b"}, std::string{"a\x7F"},
          std::string{"\xC3\xA9"}, std::string(1, '\0'),
          std::string(65, 'a')}) {
        EXPECT_FALSE(is_model_pattern(text)) << text;
    }
}

TEST(ModelPattern, Matches) {
    struct {
        const char *pattern;
        const char *name;
        bool matches;
    } cases[] = {
        {"gpt-5", "gpt-5", true},
        {"gpt-5", "gpt-5-mini", false},
        {"gpt-5", "my-gpt-5", false},
        {"gpt-5", "gpt-", false},
        {"gpt-5", "", false},
        {"gpt-5*", "gpt-5", true},
        {"gpt-5*", "gpt-5-mini", true},
        {"gpt-5*", "gpt-4", false},
        {"*-mini", "gpt-5-mini", true},
        {"*-mini", "-mini", true},
        {"*-mini", "gpt-5-mini-x", false},
        {"*-mini", "a-mini-mini", true},
        {"g*5*i", "gpt-5-mini", true},
        {"g*5*i", "gpt-4-mini", false},
        {"a*b*c", "abbcbc", true},
        {"a*b*c", "abbcb", false},
        {"a*a", "a", false},
        {"a*a", "aa", true},
        {"*ab", "aab", true},
        {"*aab", "aaab", true},
        {"*", "", true},
        {"*", "anything at all", true},
        {"**", "", true},
        {"a**b", "ab", true},
        {"***a***", "bab", true},
        {"***a***", "bbb", false},

        // Only "*" is special; in a name nothing is.
        {"gpt.5", "gpt-5", false},
        {"gpt?5", "gpt-5", false},
        {"[g]pt", "gpt", false},
        {"gpt-5", "gpt-*", false},
        {"gpt-5", "*", false},
        {"*x", "*x", true},
        {"a*b", "a*b", true},

        {"GPT-5*", "gpt-5-Mini", true},
        {"gpt-5*", "GPT-5", true},
        {"gpt_5", "gpt-5", false},
        {"[", "{", false},
        {"@", "`", false},
        {"", "", true},
        {"", "a", false},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(model_matches(c.pattern, c.name), c.matches)
            << c.pattern << " and " << c.name;
    }
}

// Where every "*" tried every length, this would not end.
TEST(ModelPattern, ManyStarsTakeNoLongTime) {
    std::string pattern;
    for (int i = 0; i < 31; i++) {
        pattern += "*a";
    }
    std::string name(100'000, 'a');
    EXPECT_TRUE(model_matches(pattern, name));
    EXPECT_FALSE(model_matches(pattern + "*b", name));
}

TEST(ModelPattern, NamesWithADate) {
    EXPECT_TRUE(are_one_model("gpt-5", "gpt-5"));
    EXPECT_TRUE(are_one_model("GPT-5", "gpt-5-2025-08-07"));
    EXPECT_TRUE(
        are_one_model("claude-haiku-4-5@20251001", "claude-haiku-4-5"));
    EXPECT_FALSE(are_one_model("gpt-5", "gpt-5-mini"));
    EXPECT_FALSE(are_one_model("gpt-5", "gpt-5-mini-2025-08-07"));
    EXPECT_FALSE(are_one_model("gpt-5", "gpt-51"));
    EXPECT_FALSE(are_one_model("gpt-5", "gpt-5.1"));
    EXPECT_TRUE(are_one_model("gpt-4-0613", "gpt-4"));
    EXPECT_TRUE(are_one_model("claude-opus-4-1", "claude-opus-4-1-20250805"));
    for (auto other : {"claude-opus-4-1", "claude-opus-4-1-20250805",
                       "claude-opus-4-123", "claude-opus-4@1",
                       "claude-opus-4-", "claude-opus-4--20250805"}) {
        EXPECT_FALSE(are_one_model("claude-opus-4", other)) << other;
    }
    EXPECT_FALSE(are_one_model("o3", "mini"));
    EXPECT_FALSE(are_one_model("", "o3"));
    EXPECT_FALSE(are_one_model("", "-1"));
}

}  // namespace
}  // namespace keystile
