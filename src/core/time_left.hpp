// When a credential that expires is spoken of.
//
// Whoever renews it does so earlier than this (conf-examples/oauth-refresh):
// what is said here is that it has not happened.

#pragma once

#include <cstdint>

namespace keystile {

enum class TimeLeft : std::uint8_t { enough, little, none };

inline constexpr std::int64_t kLittleTime = 3600;  // seconds, as README says

// Both are seconds since the epoch; `expires` is 0 where it is not known.
constexpr TimeLeft time_left(std::int64_t expires, std::int64_t now) noexcept {
    if (expires == 0 || expires - now > kLittleTime) {
        return TimeLeft::enough;
    }
    return expires > now ? TimeLeft::little : TimeLeft::none;
}

}  // namespace keystile
