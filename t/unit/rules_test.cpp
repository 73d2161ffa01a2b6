#include "rules.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

namespace keystile {
namespace {

// The words of a rule, as a configuration splits them; they live for ever.
std::vector<std::string_view> words_of(const std::string &text) {
    static std::vector<std::unique_ptr<std::string>> kept;
    std::vector<std::string_view> words;
    std::istringstream stream{text};
    std::string word;
    while (stream >> word) {
        kept.push_back(std::make_unique<std::string>(word));
        words.push_back(*kept.back());
    }
    return words;
}

Rule rule(const std::string &text) {
    auto parsed = parse_rule(words_of(text));
    EXPECT_TRUE(parsed) << text;
    return parsed ? *parsed : Rule{};
}

std::vector<Rule> rules(const std::vector<std::string> &texts) {
    std::vector<Rule> all;
    for (const auto &text : texts) {
        all.push_back(rule(text));
    }
    return all;
}

TEST(ParseRule, AllWords) {
    auto plain = rule("POST /v1/responses");
    EXPECT_EQ(plain.methods, "POST");
    EXPECT_EQ(plain.path, "/v1/responses");
    EXPECT_FALSE(plain.websocket);
    EXPECT_FALSE(plain.bearer_only);
    EXPECT_FALSE(plain.any_query);

    auto all = rule(
        "GET,DELETE /v1/*/x/** query=a,b to=/o/*/y/**?api-version=1&z "
        "identity=bearer");
    EXPECT_EQ(all.methods, "GET,DELETE");
    EXPECT_EQ(all.path, "/v1/*/x/**");
    EXPECT_EQ(all.query, "a,b");
    EXPECT_EQ(all.to_path, "/o/*/y/**");
    EXPECT_EQ(all.to_args, "api-version=1&z");
    EXPECT_TRUE(all.bearer_only);

    EXPECT_TRUE(rule("GET /v1/responses websocket").websocket);
    EXPECT_TRUE(rule("GET /v1/models query=*").any_query);
    EXPECT_EQ(rule("POST /a/* to=/b").to_path, "/b");
    EXPECT_EQ(rule("POST /** to=/x/**").to_path, "/x/**");
}

TEST(ParseRule, Refused) {
    struct {
        const char *text;
        RuleFault fault;
        const char *word;
    } cases[] = {
        {"", RuleFault::too_few_words, ""},
        {"POST", RuleFault::too_few_words, "POST"},
        {"post /v1", RuleFault::bad_method, "post"},
        {"Post /v1", RuleFault::bad_method, "Post"},
        {"GET, /v1", RuleFault::bad_method, "GET,"},
        {",GET /v1", RuleFault::bad_method, ",GET"},
        {"GE:T /v1", RuleFault::bad_method, "GE:T"},
        {"GET v1", RuleFault::bad_path, "v1"},
        {"GET //v1", RuleFault::bad_path, "//v1"},
        {"GET /v1/../x", RuleFault::bad_path, "/v1/../x"},
        {"GET /v1/%2e", RuleFault::bad_path, "/v1/%2e"},
        {"GET /v1?a", RuleFault::bad_path, "/v1?a"},
        {"GET /v1#a", RuleFault::bad_path, "/v1#a"},
        {"GET http://h/v1", RuleFault::bad_path, "http://h/v1"},
        {"GET /v1/a*", RuleFault::bad_wildcard, "/v1/a*"},
        {"GET /v1/*a/b", RuleFault::bad_wildcard, "/v1/*a/b"},
        {"GET /v1/**/b", RuleFault::bad_wildcard, "/v1/**/b"},
        {"GET /v1/**/", RuleFault::bad_wildcard, "/v1/**/"},
        {"GET /v1/***", RuleFault::bad_wildcard, "/v1/***"},
        {"GET /v1/**/**", RuleFault::bad_wildcard, "/v1/**/**"},
        {"GET /v1 websockets", RuleFault::unknown_option, "websockets"},
        {"GET /v1 WebSocket", RuleFault::unknown_option, "WebSocket"},
        {"GET /v1 identity=any", RuleFault::unknown_option, "identity=any"},
        {"GET /v1 args=a", RuleFault::unknown_option, "args=a"},
        {"GET /v1 websocket websocket", RuleFault::repeated_option,
         "websocket"},
        {"GET /v1 query=a query=b", RuleFault::repeated_option, "query=b"},
        {"GET /v1 query=* query=b", RuleFault::repeated_option, "query=b"},
        {"GET /v1 to=/a to=/b", RuleFault::repeated_option, "to=/b"},
        {"GET /v1 identity=bearer identity=bearer", RuleFault::repeated_option,
         "identity=bearer"},
        {"POST /v1 websocket", RuleFault::websocket_without_get, "/v1"},
        {"GET,POST /v1 websocket", RuleFault::websocket_without_get, "/v1"},
        {"GET /v1 query=", RuleFault::bad_query_name, "query="},
        {"GET /v1 query=,", RuleFault::bad_query_name, "query=,"},
        {"GET /v1 query=key", RuleFault::key_in_query, "query=key"},
        {"GET /v1 query=a,api_key", RuleFault::key_in_query,
         "query=a,api_key"},
        {"GET /v1 query=a,apiKey,b", RuleFault::key_in_query,
         "query=a,apiKey,b"},
        {"GET /v1 query=access_token", RuleFault::key_in_query,
         "query=access_token"},
        {"GET /v1 to=", RuleFault::bad_to, "to="},
        {"GET /v1 to=x", RuleFault::bad_to, "to=x"},
        {"GET /v1 to=//h/x", RuleFault::bad_to, "to=//h/x"},
        {"GET /v1 to=/a/../b", RuleFault::bad_to, "to=/a/../b"},
        {"GET /v1 to=/a?", RuleFault::bad_to, "to=/a?"},
        {"GET /v1 to=/a?b#c", RuleFault::bad_to, "to=/a?b#c"},
        {"GET /v1 to=https://h/x", RuleFault::bad_to, "to=https://h/x"},
        {"GET /v1 to=/a/*", RuleFault::to_wildcards_differ, "/v1"},
        {"GET /v1/*/* to=/a/*", RuleFault::to_wildcards_differ, "/v1/*/*"},
        {"GET /v1/* to=/a/**", RuleFault::to_wildcards_differ, "/v1/*"},
        {"GET /v1 query=v to=/a?v=1", RuleFault::fixed_argument_allowed,
         "/v1"},
    };
    for (const auto &c : cases) {
        auto parsed = parse_rule(words_of(c.text));
        ASSERT_FALSE(parsed) << c.text;
        EXPECT_EQ(describe(parsed.error().fault), describe(c.fault)) << c.text;
        EXPECT_EQ(parsed.error().word, c.word) << c.text;
    }
}

TEST(PathMatches, Patterns) {
    struct {
        const char *pattern;
        const char *path;
        bool matches;
    } cases[] = {
        {"/", "/", true},
        {"/", "/v1", false},
        {"/v1", "/", false},
        {"/v1/responses", "/v1/responses", true},
        {"/v1/responses", "/v1/responses/", false},
        {"/v1/responses/", "/v1/responses", false},
        {"/v1/responses/", "/v1/responses/", true},
        {"/v1/responses", "/v1/response", false},
        {"/v1/responses", "/v1/responsesx", false},
        {"/v1/responses", "/v1/RESPONSES", false},
        {"/v1/responses", "/v1", false},
        {"/v1/responses", "/v1/responses/x", false},
        {"/v1/*", "/v1/x", true},
        {"/v1/*", "/v1/", false},
        {"/v1/*", "/v1", false},
        {"/v1/*", "/v1/x/y", false},
        {"/v1/*", "/v1/x/", false},
        {"/v1/*/cancel", "/v1/x/cancel", true},
        {"/v1/*/cancel", "/v1/x/y/cancel", false},
        {"/v1/*/cancel", "/v1//cancel", false},
        {"/*/*", "/a/b", true},
        {"/*/*", "/a", false},
        {"/v1/**", "/v1/", true},
        {"/v1/**", "/v1/x", true},
        {"/v1/**", "/v1/x/y/z", true},
        {"/v1/**", "/v1", false},
        {"/v1/**", "/v2/x", false},
        {"/v1/**", "/v11/x", false},
        {"/**", "/", true},
        {"/**", "/a/b", true},
        {"/*/x/**", "/a/x/b", true},
        {"/*/x/**", "/a/y/b", false},
        {"/v1/*", "/v1/*", true},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(path_matches(c.pattern, c.path), c.matches)
            << c.pattern << " and " << c.path;
    }
}

TEST(HasMethod, Lists) {
    EXPECT_TRUE(has_method("GET", "GET"));
    EXPECT_TRUE(has_method("GET,POST,DELETE", "POST"));
    EXPECT_TRUE(has_method("GET,POST,DELETE", "DELETE"));
    EXPECT_FALSE(has_method("GET,POST", "DELETE"));
    EXPECT_FALSE(has_method("GET", "get"));
    EXPECT_FALSE(has_method("GET", "HEAD"));
    EXPECT_FALSE(has_method("GET", "GE"));
    EXPECT_FALSE(has_method("GET", "GETS"));
    EXPECT_FALSE(has_method("GET,POST", "GET,POST"));
    EXPECT_FALSE(has_method("GET", ""));
}

// Which rule is chosen, whatever the order they are written in.
TEST(MatchRules, TheMostSpecificPatternDecides) {
    struct {
        std::vector<std::string> rules;
        const char *path;
        const char *pattern;
    } cases[] = {
        {{"GET /v1/a", "GET /v1/*", "GET /v1/**", "GET /**"},
         "/v1/a",
         "/v1/a"},
        {{"GET /v1/a", "GET /v1/*", "GET /v1/**", "GET /**"},
         "/v1/b",
         "/v1/*"},
        {{"GET /v1/a", "GET /v1/*", "GET /v1/**", "GET /**"},
         "/v1/b/c",
         "/v1/**"},
        {{"GET /v1/a", "GET /v1/*", "GET /v1/**", "GET /**"}, "/v2", "/**"},
        {{"GET /v1/a", "GET /v1/*"}, "/v2", ""},
        {{"GET /a/*/c", "GET /a/b/*"}, "/a/b/c", "/a/b/*"},
        {{"GET /*/b", "GET /a/**"}, "/a/b", "/a/**"},
        {{"GET /*/b/c", "GET /*/*/**"}, "/a/b/c", "/*/b/c"},
        {{"GET /**", "GET /*"}, "/a", "/*"},
        {{"GET /**", "GET /"}, "/", "/"},
        {{"GET /v1/**", "GET /v1/"}, "/v1/", "/v1/"},
    };
    for (const auto &c : cases) {
        auto texts = c.rules;
        std::sort(texts.begin(), texts.end());
        do {
            auto all = rules(texts);
            auto match = match_rules(all, "GET", c.path);
            EXPECT_EQ(match.pattern, c.pattern) << c.path;
            EXPECT_EQ(match.plain != nullptr, *c.pattern != '\0');
            EXPECT_EQ(match.websocket, nullptr);
        } while (std::next_permutation(texts.begin(), texts.end()));
    }
}

TEST(MatchRules, MethodsAndUpgrades) {
    auto all = rules({"POST /v1/responses", "GET /v1/responses websocket",
                      "GET,DELETE /v1/responses/*", "GET /v1/**"});

    auto post = match_rules(all, "POST", "/v1/responses");
    EXPECT_EQ(post.plain, &all[0]);
    EXPECT_EQ(post.websocket, nullptr);

    // A rule for the upgrade allows nothing else.
    auto get = match_rules(all, "GET", "/v1/responses");
    EXPECT_EQ(get.plain, nullptr);
    EXPECT_EQ(get.websocket, &all[1]);
    EXPECT_EQ(get.pattern, "/v1/responses");

    EXPECT_EQ(match_rules(all, "DELETE", "/v1/responses/r").plain, &all[2]);
    auto patch = match_rules(all, "PATCH", "/v1/responses/r");
    EXPECT_EQ(patch.plain, nullptr);
    EXPECT_EQ(patch.pattern, "/v1/responses/*");
    EXPECT_EQ(match_rules(all, "HEAD", "/v1/models").plain, nullptr);
    EXPECT_EQ(match_rules({}, "GET", "/").pattern, "");
}

// Rules of one pattern complete each other; of two that allow the same, the
// first counts.
TEST(MatchRules, OnePatternInSeveralRules) {
    auto all = rules({"GET /v1/a", "POST /v1/a", "POST /v1/a query=*",
                      "GET /v1/a websocket"});
    EXPECT_EQ(match_rules(all, "GET", "/v1/a").plain, &all[0]);
    EXPECT_EQ(match_rules(all, "POST", "/v1/a").plain, &all[1]);
    EXPECT_EQ(match_rules(all, "GET", "/v1/a").websocket, &all[3]);
}

TEST(CheckQuery, Verdicts) {
    constexpr auto allowed = QueryVerdict::allowed;
    constexpr auto not_allowed = QueryVerdict::not_allowed;
    constexpr auto carries_key = QueryVerdict::carries_key;
    struct {
        const char *rule;
        const char *target;
        QueryVerdict verdict;
    } cases[] = {
        {"GET /x", "/x", allowed},
        {"GET /x", "/x?", not_allowed},
        {"GET /x", "/x?a=1", not_allowed},
        {"GET /x", "/x?&", not_allowed},
        {"GET /x query=a", "/x", allowed},
        {"GET /x query=a", "/x?", allowed},
        {"GET /x query=a", "/x?a", allowed},
        {"GET /x query=a", "/x?a=1", allowed},
        {"GET /x query=a", "/x?%61=1", allowed},
        {"GET /x query=a", "/x?%2561=1", not_allowed},
        {"GET /x query=a", "/x?A=1", not_allowed},
        {"GET /x query=a", "/x?b=1", not_allowed},
        {"GET /x query=a", "/x?a=1&b=2", not_allowed},
        {"GET /x query=a", "/x?b=2&a=1", not_allowed},
        {"GET /x query=a", "/x?a=1;b=2", not_allowed},
        {"GET /x query=a", "/x?=1", not_allowed},
        {"GET /x query=a,b", "/x?b=2&a=1&a=3", allowed},
        {"GET /x query=*", "/x?anything=1&else", allowed},
        {"GET /x query=*", "/x?", allowed},
        {"GET /x query=*", "/x?a=1&key=k", carries_key},
        {"GET /x query=*", "/x?API_KEY=k", carries_key},
        {"GET /x query=*", "/x?api%5fkey=k", carries_key},
        {"GET /x query=*", "/x?a=1;access_token=k", carries_key},
        {"GET /x query=*", "/x?apiKey", carries_key},
        {"GET /x query=a", "/x?b=1&key=k", carries_key},
        {"GET /x", "/x?key=k", carries_key},
        {"GET /x query=* to=/y?v=1", "/x?a=1", allowed},
        {"GET /x query=* to=/y?v=1", "/x?v=2", not_allowed},
        {"GET /x query=* to=/y?v=1", "/x?%76=2", not_allowed},
    };
    for (const auto &c : cases) {
        auto target = parse_request_target(c.target);
        ASSERT_TRUE(target) << c.target;
        EXPECT_EQ(check_query(rule(c.rule), *target), c.verdict)
            << c.rule << " and " << c.target;
    }
}

}  // namespace
}  // namespace keystile
