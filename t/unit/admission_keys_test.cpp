// Which of the keys that are sent decides who calls.

#include "admission.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gate.hpp"

namespace keystile {
namespace {

// The table of DESIGN, row by row: what each header may hold, in all pairs.
TEST_F(Gate, WhichKeyDecides) {
    struct {
        const char *value;  // null: not sent
        const char *alone;  // the result if no other header has a say
    } bearers[] = {
        {nullptr, "Missing API key"},
        {"", "Missing API key"},
        {"Bearer", "Missing API key"},
        {"Bearer ", "Missing API key"},
        {"Basic dXNlcjpwYXNz", "Missing API key"},
        {"sk-good", "Missing API key"},
        {"Bearer sk good", "Missing API key"},
        {"Bearer sk-unknown", "Invalid API key"},
        {"Bearer sk-disabled", "Invalid API key"},
        {"Bearer sk-expired", "API key has expired"},
        {"Bearer sk-good", "good"},
        {"bearer  sk-good ", "good"},
    };
    struct {
        const char *value;
        const char *result;  // null: it has no say
    } others[] = {
        {nullptr, nullptr},
        {"", nullptr},
        {"sk-unknown", "Invalid API key"},
        {"sk-disabled", "Invalid API key"},
        {"sk-expired", "API key has expired"},
        {"sk-other", "other"},
        {"Bearer sk-other", "other"},
    };
    for (const auto &b : bearers) {
        for (const auto &o : others) {
            Lines lines;
            if (o.value != nullptr) {
                lines.emplace_back("X-Api-Key", o.value);
            }
            if (b.value != nullptr) {
                lines.emplace_back("Authorization", b.value);
            }
            auto expected = b.alone == std::string{"good"} ? "good"
                            : o.result != nullptr          ? o.result
                                                           : b.alone;
            EXPECT_EQ(result(lines), expected)
                << (b.value ? b.value : "none") << " and "
                << (o.value ? o.value : "none");
        }
    }
}

TEST_F(Gate, TheHeaderThatDecidedIsKnown) {
    auto first =
        ask({{"x-api-key", "sk-other"}, {"authorization", "Bearer sk-good"}});
    ASSERT_TRUE(first);
    EXPECT_EQ(first->identity().key_header, "authorization");
    auto second = ask(
        {{"x-api-key", "sk-other"}, {"authorization", "Bearer sk-unknown"}});
    ASSERT_TRUE(second);
    EXPECT_EQ(second->identity().key_header, "x-api-key");
}

TEST_F(Gate, OrderOfKeyHeaders) {
    key_headers = {"x-api-key", "x-team", "authorization"};
    policy.key_headers = key_headers;
    EXPECT_EQ(
        result({{"Authorization", "Bearer sk-good"}, {"x-team", "sk-other"}}),
        "other");
    EXPECT_EQ(result({{"Authorization", "Bearer sk-expired"},
                      {"x-api-key", "sk-unknown"}}),
              kExpired);
    key_headers = {"x-team"};
    policy.key_headers = key_headers;
    EXPECT_EQ(result(bearer("sk-good")), kMissing);
    EXPECT_EQ(result({{"x_team", "sk-good"}}), kMissing);
}

TEST_F(Gate, BearerOnlyRules) {
    EXPECT_EQ(result(bearer("sk-good"), "POST", "/v1/oauth"), "good");
    EXPECT_EQ(result({{"x-api-key", "sk-good"}}, "POST", "/v1/oauth"),
              kMissing);
    EXPECT_EQ(result({{"x-api-key", "sk-good"},
                      {"Authorization", "Bearer sk-expired"}},
                     "POST", "/v1/oauth"),
              kExpired);
}

TEST_F(Gate, DoubledKeyHeaders) {
    auto doubled = std::string{describe(Denial::duplicate_key_header).message};
    EXPECT_EQ(result({{"x-api-key", "sk-good"}, {"X-API-Key", "sk-good"}}),
              doubled);
    EXPECT_EQ(result({{"authorization", "Bearer sk-good"},
                      {"x-api-key", "a"},
                      {"x-api-key", "b"}}),
              doubled);
    policy.admit = Admit::any;
    EXPECT_EQ(result({{"x-api-key", "a"}, {"x-api-key", "b"}}), doubled);
}

TEST_F(Gate, OtherSpellingsDoNotAuthenticate) {
    EXPECT_EQ(result({{"x_api_key", "sk-good"}}), kMissing);
    EXPECT_EQ(result({{"x_api_key", "a"}, {"x-api-key", "sk-good"}}), "good");
    EXPECT_EQ(result({{"api-key", "sk-good"}}), kMissing);
}

}  // namespace
}  // namespace keystile
