// Limits in words, for those who have reached one.

#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "limit.hpp"
#include "number_text.hpp"

namespace keystile {

// "requests", "tokens", "usd", "concurrent".
std::string_view name_of(LimitKind kind) noexcept;

// "minute", ..., "month"; "" for none.
std::string_view name_of(LimitPeriod per) noexcept;

// Of one that is not spent: when to try again, in seconds. What is set aside
// is given back as soon as a request ends.
inline constexpr std::int64_t kReservedWait = 5;
inline constexpr std::int64_t kConcurrentWait = 1;

// These require a limit.

// Whether waiting is of use: the limit is not of a day or longer, or is not
// spent.
bool passes_soon(const UsedUp &used_up) noexcept;

// For how many seconds; 1 or more.
std::int64_t seconds_to_wait(const UsedUp &used_up, std::int64_t now) noexcept;

// ": 2000000 tokens per day for gpt-5*; it resets at 2026-11-23T00:00:00Z"
class LimitText {
public:
    explicit LimitText(const UsedUp &used_up) noexcept;

    std::string_view view() const noexcept { return {text_.data(), size_}; }

private:
    void put(std::string_view text) noexcept;

    std::array<char, 224> text_;
    std::size_t size_ = 0;
};

// What is left of a limit, and the limit itself, as headers say it: in US
// dollars, or as a whole number.
NumberText limit_number(LimitKind kind, std::uint64_t number) noexcept;

}  // namespace keystile
