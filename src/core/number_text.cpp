#include "number_text.hpp"

#include <algorithm>
#include <charconv>
#include <limits>

namespace keystile {
namespace {

constexpr std::size_t kMostDigits =
    std::numeric_limits<std::uint64_t>::digits10 + 1;

}  // namespace

NumberText::NumberText(std::uint64_t amount, unsigned decimals,
                       unsigned least) noexcept {
    // Zeros before the number give a fraction its full width.
    std::array<char, 2 * kMostDigits> digits;
    digits.fill('0');
    auto *begin = digits.data() + kMostDigits;
    auto *end = std::to_chars(begin, digits.end(), amount).ptr;
    auto *point = end - decimals;

    begin = std::min(begin, point - 1);
    while (end > point + least && end[-1] == '0') {
        end--;
    }
    auto *out = std::copy(begin, point, text_.data());
    if (end > point) {
        *out++ = '.';
        out = std::copy(point, end, out);
    }
    size_ = static_cast<std::size_t>(out - text_.data());
}

}  // namespace keystile
