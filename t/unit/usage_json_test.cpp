#include "usage_json.hpp"

#include <gtest/gtest.h>

#include <limits>

#include "made_up_report.hpp"

namespace keystile {
namespace {

TEST(UsageJson, OfOneWhoHasUsedNothing) {
    EXPECT_EQ(written(write_usage_json, ClientReport{}),
              R"({"request_count":0,"total_tokens":0,"cached_input_tokens":0,)"
              R"("total_cost_usd":0.0,"limits":[],"upstream_limits":[],)"
              R"("account_pool_usage":{"primary":null,"secondary":null}})");
}

TEST(UsageJson, FiguresAndLimits) {
    MadeUpReport made_up;
    EXPECT_EQ(
        written(write_usage_json, made_up.clients[0]),
        R"({"request_count":52,"total_tokens":54600,)"
        R"("cached_input_tokens":31200,"total_cost_usd":0.065,"limits":[)"
        R"({"limit_type":"requests","limit_window":"minute","max_value":60,)"
        R"("current_value":12,"remaining_value":48,"model_filter":null,)"
        R"("reset_at":"2027-01-31T00:01:00Z","source":"api_key_limit"},)"
        R"({"limit_type":"total_tokens","limit_window":"daily",)"
        R"("max_value":2000000,"current_value":1950000,)"
        R"("remaining_value":50000,"model_filter":"gpt-5*",)"
        R"("reset_at":"2027-02-01T00:00:00Z","source":"api_key_limit"},)"
        R"({"limit_type":"cost_usd","limit_window":"monthly",)"
        R"("max_value":50000000,"current_value":12345679,)"
        R"("remaining_value":37654321,"model_filter":null,)"
        R"("reset_at":"2027-03-03T00:00:00Z","source":"api_key_limit"},)"
        R"({"limit_type":"concurrent","limit_window":null,"max_value":8,)"
        R"("current_value":3,"remaining_value":5,"model_filter":null,)"
        R"("reset_at":null,"source":"api_key_limit"}],"upstream_limits":[],)"
        R"("account_pool_usage":{"primary":null,"secondary":null}})");
}

TEST(UsageJson, WindowsOfLimits) {
    struct {
        LimitPeriod per;
        const char *window;
    } cases[] = {
        {LimitPeriod::hour, "\"limit_window\":\"hour\""},
        {LimitPeriod::week, "\"limit_window\":\"weekly\""},
    };
    for (const auto &c : cases) {
        std::array<LimitReport, 1> limits{{
            {{LimitKind::requests, c.per, 1, ""}, 0, 0, 60},
        }};
        ClientReport client;
        client.limits = limits;
        EXPECT_NE(written(write_usage_json, client).find(c.window),
                  std::string::npos);
    }
}

// Streams that began within a limit may end beyond it.
TEST(UsageJson, NothingRemainsOfALimitThatIsExceeded) {
    constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
    struct {
        std::uint64_t used;
        std::uint64_t reserved;
        const char *json;
    } cases[] = {
        {9, 1, "\"current_value\":10,\"remaining_value\":0"},
        {9, 2, "\"current_value\":11,\"remaining_value\":0"},
        {kMost, 2,
         "\"current_value\":18446744073709551615,\"remaining_value\":0"},
    };
    for (const auto &c : cases) {
        std::array<LimitReport, 1> limits{{
            {{LimitKind::tokens, LimitPeriod::day, 10, ""},
             c.used,
             c.reserved,
             60},
        }};
        ClientReport client;
        client.limits = limits;
        EXPECT_NE(written(write_usage_json, client).find(c.json),
                  std::string::npos)
            << c.json;
    }
}

TEST(UsageJson, CostsOfLimitsAreRoundedToMicrodollars) {
    EXPECT_EQ(limit_value(LimitKind::usd, 499'999), 0U);
    EXPECT_EQ(limit_value(LimitKind::usd, 500'000), 1U);
    EXPECT_EQ(limit_value(LimitKind::usd, 1'499'999), 1U);
    EXPECT_EQ(limit_value(LimitKind::tokens, 499'999), 499'999U);
    EXPECT_EQ(
        limit_value(LimitKind::usd, std::numeric_limits<std::uint64_t>::max()),
        18'446'744'073'710U);
}

}  // namespace
}  // namespace keystile
