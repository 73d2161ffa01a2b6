#include "limit_period.hpp"

#include <chrono>

namespace keystile {
namespace {

using std::chrono::sys_days;
using std::chrono::sys_seconds;
using std::chrono::year_month_day;

struct Window {
    sys_seconds start;
    sys_seconds end;
};

template <typename Duration>
Window whole(sys_seconds now) noexcept {
    auto start = std::chrono::floor<Duration>(now);
    return {start, start + Duration{1}};
}

Window window_of(LimitPeriod per, sys_seconds now) noexcept {
    using namespace std::chrono;

    auto today = floor<days>(now);
    switch (per) {
    case LimitPeriod::minute:
        return whole<minutes>(now);
    case LimitPeriod::hour:
        return whole<hours>(now);
    case LimitPeriod::week: {
        auto monday = today - (weekday{today} - Monday);
        return {monday, monday + days{7}};
    }
    case LimitPeriod::month: {
        year_month_day date{today};
        auto month = date.year() / date.month();
        return {sys_days{month / 1}, sys_days{(month + months{1}) / 1}};
    }
    case LimitPeriod::none:
    case LimitPeriod::day:
        break;
    }
    return whole<days>(now);
}

Window window_of(LimitPeriod per, std::int64_t now) noexcept {
    return window_of(per, sys_seconds{std::chrono::seconds{now}});
}

}  // namespace

std::int64_t period_start(LimitPeriod per, std::int64_t now) noexcept {
    return window_of(per, now).start.time_since_epoch().count();
}

std::int64_t period_end(LimitPeriod per, std::int64_t now) noexcept {
    return window_of(per, now).end.time_since_epoch().count();
}

}  // namespace keystile
