#include "limit_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keystile {
namespace {

std::string text(const Limit &limit) {
    constexpr std::int64_t day_begins = 1795392000;
    return std::string{LimitText{limit, day_begins}.view()};
}

TEST(LimitText, SaysWhatAndUntilWhen) {
    EXPECT_EQ(text({LimitKind::tokens, LimitPeriod::day, 2000000, "gpt-5*"}),
              ": 2000000 tokens per day for gpt-5*; it resets at "
              "2026-11-23T00:00:00Z");
    EXPECT_EQ(text({LimitKind::usd, LimitPeriod::month,
                    2 * kPicodollarsPerUsd + kPicodollarsPerUsd / 2, ""}),
              ": 2.5 US dollars per month; it resets at 2026-11-23T00:00:00Z");
    EXPECT_EQ(text({LimitKind::concurrent, LimitPeriod::none, 8, ""}),
              ": 8 requests at one time");
}

TEST(LimitText, HasRoomForTheLongest) {
    std::string model(64, 'm');
    auto longest = text({LimitKind::usd, LimitPeriod::minute,
                         1000000 * kPicodollarsPerUsd - 1, model});
    EXPECT_TRUE(longest.ends_with("2026-11-23T00:00:00Z"));
}

TEST(LimitText, WaitingIsOfUseWithinADay) {
    EXPECT_TRUE(passes_soon({LimitKind::requests, LimitPeriod::hour, 1, ""}));
    EXPECT_TRUE(
        passes_soon({LimitKind::concurrent, LimitPeriod::none, 1, ""}));
    EXPECT_FALSE(passes_soon({LimitKind::requests, LimitPeriod::day, 1, ""}));
    EXPECT_FALSE(passes_soon({LimitKind::usd, LimitPeriod::month, 1, ""}));
}

TEST(LimitText, NumbersOfHeaders) {
    EXPECT_EQ(limit_number(LimitKind::requests, 60).view(), "60");
    EXPECT_EQ(limit_number(LimitKind::usd, kPicodollarsPerUsd / 4).view(),
              "0.25");
}

}  // namespace
}  // namespace keystile
