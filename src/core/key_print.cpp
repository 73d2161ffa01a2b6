#include "key_print.hpp"

#include <algorithm>

// The sum is the text as a number to some base, modulo a prime (Rabin and
// Karp): that of the next run of the same length follows from that of the
// one before.

namespace keystile {
namespace {

__extension__ using Wide = unsigned __int128;

constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61U) - 1;
constexpr std::uint64_t kBase = 0x0B8E1C54A97F3D26 % kPrime;

std::uint64_t times(std::uint64_t a, std::uint64_t b) noexcept {
    auto product = static_cast<Wide>(a) * b;
    auto sum = static_cast<std::uint64_t>(product & kPrime) +
               static_cast<std::uint64_t>(product >> 61U);
    return sum >= kPrime ? sum - kPrime : sum;
}

std::uint64_t plus(std::uint64_t a, std::uint64_t b) noexcept {
    auto sum = a + b;
    return sum >= kPrime ? sum - kPrime : sum;
}

std::uint64_t push(std::uint64_t sum, char c) noexcept {
    return plus(times(sum, kBase), static_cast<unsigned char>(c) + 1U);
}

std::uint64_t sum_of(std::string_view text) noexcept {
    std::uint64_t sum = 0;
    for (char c : text) {
        sum = push(sum, c);
    }
    return sum;
}

}  // namespace

KeyPrint::KeyPrint(std::string_view key) noexcept
    : size_{key.size()}, sum_{sum_of(key)}, highest_{1} {
    for (std::size_t i = 1; i < size_; i++) {
        highest_ = times(highest_, kBase);
    }
}

std::size_t KeyPrint::blot_out(std::span<char> text) const noexcept {
    std::size_t found = 0;
    std::uint64_t sum = 0;
    std::size_t summed = 0;  // bytes that the sum is of
    for (std::size_t at = 0; size_ != 0 && at < text.size(); at++) {
        if (summed == size_) {
            auto first = static_cast<unsigned char>(text[at - size_]) + 1U;
            sum = plus(sum, kPrime - times(first, highest_));
            summed--;
        }
        sum = push(sum, text[at]);
        summed++;
        if (summed == size_ && sum == sum_) {
            std::fill_n(
                text.begin() + static_cast<std::ptrdiff_t>(at + 1 - size_),
                size_, '*');
            found++;
            sum = 0;
            summed = 0;
        }
    }
    return found;
}

}  // namespace keystile
