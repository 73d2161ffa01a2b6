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

// Whether waiting is of use: the limit is not of a day or longer.
bool passes_soon(const Limit &limit) noexcept;

// ": 2000000 tokens per day for gpt-5*; it resets at 2026-11-23T00:00:00Z"
class LimitText {
public:
    // `resets_at` is in seconds since the epoch.
    LimitText(const Limit &limit, std::int64_t resets_at) noexcept;

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
