#include "limit_period.hpp"

#include <gtest/gtest.h>

#include <ctime>
#include <random>

#include "timestamp.hpp"

namespace keystile {
namespace {

std::int64_t at(std::string_view text) { return *parse_timestamp(text); }

void expect_window(LimitPeriod per, std::string_view now,
                   std::string_view start, std::string_view end) {
    SCOPED_TRACE(now);
    EXPECT_EQ(period_start(per, at(now)), at(start));
    EXPECT_EQ(period_end(per, at(now)), at(end));
}

TEST(LimitPeriod, WindowsAreThoseOfTheCalendar) {
    expect_window(LimitPeriod::minute, "2026-02-28T23:59:59Z",
                  "2026-02-28T23:59:00Z", "2026-03-01T00:00:00Z");
    expect_window(LimitPeriod::hour, "2026-12-31T23:00:00Z",
                  "2026-12-31T23:00:00Z", "2027-01-01T00:00:00Z");
    expect_window(LimitPeriod::day, "2028-02-28T12:00:00Z",
                  "2028-02-28T00:00:00Z", "2028-02-29T00:00:00Z");
    expect_window(LimitPeriod::week, "2027-01-01T00:00:00Z",  // a Friday
                  "2026-12-28T00:00:00Z", "2027-01-04T00:00:00Z");
    expect_window(LimitPeriod::week, "2027-01-04T00:00:00Z",
                  "2027-01-04T00:00:00Z", "2027-01-11T00:00:00Z");
    expect_window(LimitPeriod::month, "2028-02-29T23:59:59Z",
                  "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z");
    expect_window(LimitPeriod::month, "2100-02-28T00:00:00Z",
                  "2100-02-01T00:00:00Z", "2100-03-01T00:00:00Z");
    expect_window(LimitPeriod::month, "2026-12-31T23:59:59Z",
                  "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z");
}

std::int64_t start_by_libc(LimitPeriod per, std::int64_t now) {
    auto seconds = static_cast<std::time_t>(now);
    std::tm time{};
    gmtime_r(&seconds, &time);
    time.tm_sec = 0;
    if (per >= LimitPeriod::hour) {
        time.tm_min = 0;
    }
    if (per >= LimitPeriod::day) {
        time.tm_hour = 0;
    }
    if (per == LimitPeriod::week) {
        time.tm_mday -= (time.tm_wday + 6) % 7;
    }
    if (per == LimitPeriod::month) {
        time.tm_mday = 1;
    }
    return timegm(&time);
}

// A window ends where the next one begins: the first second that has another
// beginning.
TEST(LimitPeriod, AgreesWithTheLibraryAtAnyTime) {
    std::mt19937_64 random{1};
    constexpr std::uint64_t four_hundred_years = 12'622'780'800;
    for (int i = 0; i < 20'000; i++) {
        auto now = static_cast<std::int64_t>(random() % four_hundred_years);
        for (auto per :
             {LimitPeriod::minute, LimitPeriod::hour, LimitPeriod::day,
              LimitPeriod::week, LimitPeriod::month}) {
            auto end = period_end(per, now);
            ASSERT_EQ(period_start(per, now), start_by_libc(per, now)) << now;
            ASSERT_GT(end, now);
            ASSERT_EQ(start_by_libc(per, end), end) << now;
            ASSERT_EQ(start_by_libc(per, end - 1), period_start(per, now));
        }
    }
}

}  // namespace
}  // namespace keystile
