#include "key_print.hpp"

#include <algorithm>

// The sum is the text as a number to some base, modulo 2^64 (Rabin and Karp):
// that of the next run of the same length follows from that of the one before.

namespace keystile {
namespace {

constexpr std::uint64_t kBase = 0x9E3779B97F4A7C15;

constexpr std::uint64_t push(std::uint64_t sum, char c) noexcept {
    return sum * kBase + static_cast<unsigned char>(c) + 1;
}

}  // namespace

KeyPrint::KeyPrint(std::string_view key) noexcept : size_{key.size()} {
    weight_ = 1;
    for (char c : key) {
        sum_ = push(sum_, c);
        weight_ *= kBase;
    }
}

std::size_t KeyPrint::blot_out(std::span<char> text) const noexcept {
    std::size_t found = 0;
    std::uint64_t sum = 0;
    std::size_t begin = 0;  // of the run that the sum is of
    for (std::size_t at = 0; size_ != 0 && at < text.size(); at++) {
        sum = push(sum, text[at]);
        if (at - begin == size_) {
            auto first = static_cast<unsigned char>(text[begin++]) + 1U;
            sum -= first * weight_;
        }
        if (at + 1 - begin == size_ && sum == sum_) {
            std::fill_n(text.data() + begin, size_, '*');
            found++;
            sum = 0;
            begin = at + 1;
        }
    }
    return found;
}

}  // namespace keystile
