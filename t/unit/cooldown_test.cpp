#include "cooldown.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <utility>

namespace keystile {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;

using Headers =
    std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Seconds that a reply with these headers asks for.
std::int64_t wait(Headers headers, std::int64_t date = -1) {
    CooldownHeaders cooldown;
    for (auto [name, value] : headers) {
        cooldown.see(name, value, date, kNow);
    }
    return cooldown.until(60, kNow) - kNow;
}

TEST(Cooldown, IsTheConfiguredOneWhereTheReplySaysNothing) {
    EXPECT_EQ(wait({}), 60);
    EXPECT_EQ(wait({{"Content-Type", "text/plain"}}), 60);
}

TEST(Cooldown, IsRetryAfter) {
    EXPECT_EQ(wait({{"Retry-After", "20"}}), 20);
    EXPECT_EQ(wait({{"retry-after", "7200"}}), 7200);
    EXPECT_EQ(wait({{"RETRY-AFTER", "1.5"}}), 1);
    EXPECT_EQ(
        wait({{"Retry-After", "Wed, 21 Oct 2026 07:28:00 GMT"}}, kNow + 300),
        300);
}

TEST(Cooldown, IsNotWhatCannotBeRead) {
    for (auto value : {"", "-5", "soon", "12 s", "0x10", "1.x", "+3",
                       "99999999999999999999999"}) {
        EXPECT_EQ(wait({{"Retry-After", value}}), 60) << value;
    }
}

TEST(Cooldown, HasBounds) {
    EXPECT_EQ(wait({{"Retry-After", "0"}}), 1);
    EXPECT_EQ(wait({{"Retry-After", "9223372036854775807"}}),
              kLongestCooldown);
    EXPECT_EQ(wait({{"Retry-After", "a date"}}, 0), 1);
    EXPECT_EQ(wait({{"Retry-After", "a date"}}, INT64_MAX), kLongestCooldown);
}

TEST(Cooldown, IsTheResetOfAWindowOfChatGpt) {
    EXPECT_EQ(wait({{"x-codex-primary-reset-at", "1800000300"}}), 300);
    EXPECT_EQ(wait({{"x-codex-primary-reset-at", "1800000300"},
                    {"x-codex-secondary-reset-at", "1800000200"}}),
              200);
    EXPECT_EQ(wait({{"x-codex-primary-reset-at", "1800000300"},
                    {"x-codex-primary-used-percent", "100.0"},
                    {"x-codex-secondary-reset-at", "1800000200"},
                    {"x-codex-secondary-used-percent", "99.9"}}),
              300);
    EXPECT_EQ(wait({{"x-codex-primary-used-percent", "100"},
                    {"x-codex-primary-reset-at", "1800000300"},
                    {"x-codex-secondary-used-percent", "100"},
                    {"x-codex-secondary-reset-at", "1800009000"}}),
              9000);
    EXPECT_EQ(wait({{"x-codex-tertiary-reset-at", "1800000300"},
                    {"x-codex-primary-reset", "1800000300"},
                    {"x-codex-primary-reset-at", "tomorrow"}}),
              60);
}

TEST(Cooldown, RetryAfterGoesFirst) {
    EXPECT_EQ(wait({{"x-codex-primary-reset-at", "1800000300"},
                    {"Retry-After", "5"}}),
              5);
}

}  // namespace
}  // namespace keystile
