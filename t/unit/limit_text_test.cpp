#include "limit_text.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keystile {
namespace {

constexpr std::int64_t kDayBegins = 1795392000;

UsedUp used_up(const Limit &limit, bool is_spent) {
    return {&limit, limit.most, kDayBegins, is_spent};
}

std::string text(const Limit &limit, bool is_spent = true) {
    return std::string{LimitText{used_up(limit, is_spent)}.view()};
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

TEST(LimitText, SaysThatWhatIsSetAsideWillBeGivenBack) {
    EXPECT_EQ(
        text({LimitKind::tokens, LimitPeriod::day, 2000000, "gpt-5*"}, false),
        ": 2000000 tokens per day for gpt-5*; the rest of it is set aside for "
        "requests that are under way");
    EXPECT_EQ(text({LimitKind::concurrent, LimitPeriod::none, 8, ""}, false),
              ": 8 requests at one time");
    std::string model(64, 'm');
    EXPECT_TRUE(text({LimitKind::usd, LimitPeriod::minute,
                      1000000 * kPicodollarsPerUsd - 1, model},
                     false)
                    .ends_with(" under way"));
}

TEST(LimitText, WaitingIsOfUseWithinADay) {
    auto soon = [](const Limit &limit, bool is_spent) {
        return passes_soon(used_up(limit, is_spent));
    };
    for (auto per : {LimitPeriod::minute, LimitPeriod::hour}) {
        EXPECT_TRUE(soon({LimitKind::requests, per, 1, ""}, true));
    }
    for (auto per :
         {LimitPeriod::day, LimitPeriod::week, LimitPeriod::month}) {
        EXPECT_FALSE(soon({LimitKind::usd, per, 1, ""}, true));
        EXPECT_TRUE(soon({LimitKind::usd, per, 1, ""}, false));
    }
    EXPECT_TRUE(
        soon({LimitKind::concurrent, LimitPeriod::none, 1, ""}, false));
}

TEST(LimitText, HowLongToWait) {
    auto wait = [](LimitPeriod per, bool is_spent, std::int64_t before) {
        Limit limit{LimitKind::tokens, per, 1, ""};
        return seconds_to_wait(used_up(limit, is_spent), kDayBegins - before);
    };
    EXPECT_EQ(wait(LimitPeriod::day, true, 3600), 3600);
    EXPECT_EQ(wait(LimitPeriod::day, true, -1), 1);
    EXPECT_EQ(wait(LimitPeriod::day, false, 3600), kReservedWait);
    EXPECT_EQ(wait(LimitPeriod::minute, false, 2), 2);
    EXPECT_EQ(wait(LimitPeriod::minute, false, 0), 1);
    EXPECT_EQ(wait(LimitPeriod::none, false, 3600), kConcurrentWait);
}

TEST(LimitText, NumbersOfHeaders) {
    EXPECT_EQ(limit_number(LimitKind::requests, 60).view(), "60");
    EXPECT_EQ(limit_number(LimitKind::usd, kPicodollarsPerUsd / 4).view(),
              "0.25");
}

}  // namespace
}  // namespace keystile
