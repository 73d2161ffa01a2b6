// Numbers as people and machines read them, exactly and without a heap.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keystile {

class NumberText {
public:
    // `amount` / 10^`decimals`: NumberText{1500, 3} is "1.5". Zeros at the end
    // of the fraction are left out, but for the first `least` decimals.
    // Requires least <= decimals <= 19.
    explicit NumberText(std::uint64_t amount, unsigned decimals = 0,
                        unsigned least = 0) noexcept;

    std::string_view view() const noexcept { return {text_.data(), size_}; }

private:
    std::array<char, 24> text_;
    std::size_t size_;
};

// Decimals of the units that a report has.
inline constexpr unsigned kPicodollarDecimals = 12;  // in US dollars
inline constexpr unsigned kMillisecondDecimals = 3;  // in seconds

}  // namespace keystile
