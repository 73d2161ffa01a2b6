#include "limit_text.hpp"

#include <algorithm>

#include "timestamp.hpp"

namespace keystile {
namespace {

unsigned decimals_of(LimitKind kind) noexcept {
    return kind == LimitKind::usd ? kPicodollarDecimals : 0;
}

std::string_view unit_of(LimitKind kind) noexcept {
    switch (kind) {
    case LimitKind::requests:
        return " requests";
    case LimitKind::tokens:
        return " tokens";
    case LimitKind::usd:
        return " US dollars";
    case LimitKind::concurrent:
        return " requests at one time";
    }
    return {};
}

}  // namespace

std::string_view name_of(LimitKind kind) noexcept {
    switch (kind) {
    case LimitKind::requests:
        return "requests";
    case LimitKind::tokens:
        return "tokens";
    case LimitKind::usd:
        return "usd";
    case LimitKind::concurrent:
        return "concurrent";
    }
    return {};
}

std::string_view name_of(LimitPeriod per) noexcept {
    switch (per) {
    case LimitPeriod::none:
        return {};
    case LimitPeriod::minute:
        return "minute";
    case LimitPeriod::hour:
        return "hour";
    case LimitPeriod::day:
        return "day";
    case LimitPeriod::week:
        return "week";
    case LimitPeriod::month:
        return "month";
    }
    return {};
}

bool passes_soon(const UsedUp &used_up) noexcept {
    auto per = used_up.limit->per;
    return !used_up.is_spent || per == LimitPeriod::none ||
           per == LimitPeriod::minute || per == LimitPeriod::hour;
}

std::int64_t seconds_to_wait(const UsedUp &used_up,
                             std::int64_t now) noexcept {
    if (used_up.limit->per == LimitPeriod::none) {
        return kConcurrentWait;
    }
    auto left = std::max<std::int64_t>(used_up.resets_at - now, 1);
    return used_up.is_spent ? left : std::min(left, kReservedWait);
}

NumberText limit_number(LimitKind kind, std::uint64_t number) noexcept {
    return NumberText{number, decimals_of(kind)};
}

LimitText::LimitText(const UsedUp &used_up) noexcept {
    const auto &limit = *used_up.limit;
    put(": ");
    put(limit_number(limit.kind, limit.most).view());
    put(unit_of(limit.kind));
    if (limit.per != LimitPeriod::none) {
        put(" per ");
        put(name_of(limit.per));
    }
    if (!limit.model.empty()) {
        put(" for ");
        put(limit.model);
    }
    if (limit.per == LimitPeriod::none) {
        return;
    }
    if (used_up.is_spent) {
        put("; it resets at ");
        put(TimestampText{used_up.resets_at}.view());
    } else {
        put("; the rest of it is set aside for requests that are under way");
    }
}

void LimitText::put(std::string_view text) noexcept {
    text = text.substr(0, text_.size() - size_);
    std::copy(text.begin(), text.end(), text_.begin() + size_);
    size_ += text.size();
}

}  // namespace keystile
