// Limits of a client, as a client-key file states them, and what is found out
// about one that is reached.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keystile {

enum class LimitKind : std::uint8_t { requests, tokens, usd, concurrent };

// Windows are those of the calendar in UTC: a week begins on Monday, a month
// on its first day. A limit on what is open at one time has none.
enum class LimitPeriod : std::uint8_t { none, minute, hour, day, week, month };

// 10^-12 US dollars: the price of one token is a whole number of them when
// that of a million tokens has six decimals at most.
using Picodollars = std::uint64_t;
inline constexpr Picodollars kPicodollarsPerUsd = 1'000'000'000'000;

struct Limit {
    LimitKind kind;
    LimitPeriod per;
    std::uint64_t most;      // requests, tokens or Picodollars; 1 or more
    std::string_view model;  // pattern (model_pattern.hpp); empty: all models
};

// Why there is no room for a turn.
struct UsedUp {
    const Limit *limit;      // null: the zone is full
    std::uint64_t used;      // with what is reserved
    std::int64_t resets_at;  // seconds since the epoch; 0 for `concurrent`
    bool is_spent = false;   // what is used alone has reached it
};

// What limits count apart from each other: of one client, no two limits have
// the same kind, period and model.
inline constexpr std::size_t kMostLimits = 16;  // of one client

}  // namespace keystile
