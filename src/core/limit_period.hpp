// Where the windows of limits begin and end, in seconds since the epoch.

#pragma once

#include <cstdint>

#include "limit.hpp"

namespace keystile {

// The beginning of the window that `now` is in. Requires a period.
std::int64_t period_start(LimitPeriod per, std::int64_t now) noexcept;

// The end of it, which is the beginning of the next.
std::int64_t period_end(LimitPeriod per, std::int64_t now) noexcept;

}  // namespace keystile
