#include "price_table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

namespace keystile {
namespace {

constexpr std::uint64_t kMost = UINT64_MAX;

// The pattern whose price is taken, whatever the order of the table.
std::string pattern_for(std::vector<PricedModel> models,
                        std::string_view name) {
    std::string found;
    for (int order = 0; order < 2; order++) {
        auto price = PriceTable{models}.find(name);
        auto is_its = [=](const PricedModel &m) { return &m.price == price; };
        auto at = std::find_if(models.begin(), models.end(), is_its);
        auto pattern = at == models.end() ? "none" : std::string{at->pattern};
        if (order == 1) {
            EXPECT_EQ(pattern, found) << name;
        }
        found = pattern;
        std::reverse(models.begin(), models.end());
    }
    return found;
}

TEST(PriceTable, TheClosestPatternCounts) {
    std::vector<PricedModel> models = {
        {"gpt-5*", {}}, {"*-mini", {}},      {"gpt-5-mini*", {}},
        {"gpt-5", {}},  {"***********", {}}, {"GPT-5-NANO", {}},
    };
    EXPECT_EQ(pattern_for(models, "gpt-5"), "gpt-5");
    EXPECT_EQ(pattern_for(models, "gpt-5-pro"), "gpt-5*");
    EXPECT_EQ(pattern_for(models, "gpt-5-mini"), "gpt-5-mini*");
    EXPECT_EQ(pattern_for(models, "gpt-5-nano"), "GPT-5-NANO");
    EXPECT_EQ(pattern_for(models, "o4-mini"), "*-mini");
    EXPECT_EQ(pattern_for(models, "claude"), "***********");
    EXPECT_EQ(pattern_for(models, ""), "***********");

    std::erase_if(models, [](const auto &m) { return m.pattern[1] == '*'; });
    EXPECT_EQ(pattern_for(models, "claude"), "none");
    EXPECT_EQ(pattern_for({}, "gpt-5"), "none");
}

TEST(PriceTable, PricesAll) {
    auto prices_all = [](std::vector<PricedModel> models) {
        return PriceTable{models}.prices_all();
    };
    EXPECT_FALSE(prices_all({}));
    EXPECT_FALSE(prices_all({{"gpt-5*", {}}, {"*-mini", {}}}));
    EXPECT_TRUE(prices_all({{"gpt-5*", {}}, {"*", {}}}));
    EXPECT_TRUE(prices_all({{"**", {}}}));
}

Usage usage(std::uint64_t input, std::uint64_t cached,
            std::uint64_t cache_written, std::uint64_t output) {
    Usage usage;
    usage.input = input;
    usage.cached = cached;
    usage.cache_written = cache_written;
    usage.output = output;
    return usage;
}

TEST(CostOf, EachKindHasItsPrice) {
    const Price price{.input = 1,
                      .cached = 100,
                      .cache_written = 10'000,
                      .output = 1'000'000};

    EXPECT_EQ(cost_of(Usage{}, price), 0u);
    EXPECT_EQ(cost_of(usage(10, 2, 3, 7), price),
              5u + 200 + 30'000 + 7'000'000);
    EXPECT_EQ(cost_of(usage(5, 2, 3, 0), price), 200u + 30'000);
    EXPECT_EQ(cost_of(usage(10, 0, 0, 0), price), 10u);

    Usage some;
    some.output = 2;
    some.reasoning = 1;  // part of it
    EXPECT_EQ(cost_of(some, price), 2'000'000u);
    some.input = 4;
    EXPECT_EQ(cost_of(some, price), 2'000'004u);
}

TEST(CostOf, MoreCachedThanInputDoesNotWrap) {
    const Price price{
        .input = 1, .cached = 100, .cache_written = 10'000, .output = 0};

    EXPECT_EQ(cost_of(usage(4, 2, 3, 0), price), 200u + 30'000);
    EXPECT_EQ(cost_of(usage(0, 1, 0, 0), price), 100u);
    EXPECT_EQ(cost_of(usage(30, kMost, 20, 0), Price{.input = 1}), 0u);
}

TEST(CostOf, Saturates) {
    const auto half = std::uint64_t{1} << 63;
    EXPECT_EQ(cost_of(usage(kMost, 0, 0, 0), {.input = 1}), kMost);
    EXPECT_EQ(cost_of(usage(half, 0, 0, 0), {.input = 2}), kMost);
    EXPECT_EQ(
        cost_of(usage(kMost, 0, 0, kMost), {.input = kMost, .output = kMost}),
        kMost);
    EXPECT_EQ(cost_of(usage(half, 0, 0, half), {.input = 1, .output = 1}),
              kMost);
    EXPECT_EQ(cost_of(usage(half, 0, 0, half - 1), {.input = 1, .output = 1}),
              kMost);
    EXPECT_EQ(cost_of(usage(half, 0, 0, half - 2), {.input = 1, .output = 1}),
              kMost - 1);
}

}  // namespace
}  // namespace keystile
