// Finding a byte in text that is mostly something else: strings of a few
// bytes, where a call costs more than the search, and of many megabytes.
//
// Eight bytes are looked at together. Subtracting one from each borrows only
// from one that is zero, or of those above it: the lowest that shows is true.

#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "byte_vector.hpp"

namespace keystile {

inline constexpr std::uint64_t kOnes = 0x0101010101010101;

// The top bit of each byte that is less than `limit`, at most 0x80; exact
// up to the lowest.
constexpr std::uint64_t bytes_below(std::uint64_t word,
                                    std::uint64_t limit) noexcept {
    return (word - kOnes * limit) & ~word & (kOnes * 0x80);
}

inline std::uint64_t load_word(const char *at) noexcept {
    std::uint64_t word;
    std::memcpy(&word, at, sizeof(word));
    return word;
}

// Where `wanted` first is from `at` to before `end`, or `end`. The first two
// words are searched here, what lies farther by the C library.
inline const char *find_byte(const char *at, const char *end,
                             char wanted) noexcept {
    if constexpr (std::endian::native == std::endian::little) {
        auto pattern = kOnes * static_cast<unsigned char>(wanted);
        for (int i = 0; i < 2 && end - at >= 8; i++, at += 8) {
            auto zeros = bytes_below(load_word(at) ^ pattern, 1);
            if (zeros != 0) {
                return at + std::countr_zero(zeros) / 8;
            }
        }
    }
    if (at == end) {
        return end;
    }
    auto size = static_cast<std::size_t>(end - at);
    const auto *found = std::memchr(at, wanted, size);
    return found == nullptr ? end : static_cast<const char *>(found);
}

// Where the first byte that does not stand for itself in a JSON string is: a
// quote, a backslash or a control byte; or `end`.
inline const char *find_special(const char *at, const char *end) noexcept {
    constexpr std::ptrdiff_t size = sizeof(ByteVector);

    for (; end - at >= size; at += size) {
        auto bytes = load_as<ByteVector>(at);
        auto special = (bytes < 0x20) | (bytes == '"') | (bytes == '\\');
        if (any(special)) {
            return at + first_of(special);
        }
    }
    while (at != end && static_cast<unsigned char>(*at) >= 0x20 &&
           *at != '"' && *at != '\\') {
        at++;
    }
    return at;
}

// Where the first control byte is, or `end`. DEL is none here.
inline const char *find_control(const char *at, const char *end) noexcept {
    constexpr std::ptrdiff_t size = sizeof(ByteVector);
    auto less = [](ByteVector a, ByteVector b) { return a < b ? a : b; };

    for (; end - at >= 4 * size; at += 4 * size) {
        auto least =
            less(less(load_as<ByteVector>(at), load_as<ByteVector>(at + size)),
                 less(load_as<ByteVector>(at + 2 * size),
                      load_as<ByteVector>(at + 3 * size)));
        if (any(least < 0x20)) {
            break;
        }
    }
    for (; end - at >= size; at += size) {
        auto controls = load_as<ByteVector>(at) < 0x20;
        if (any(controls)) {
            return at + first_of(controls);
        }
    }
    while (at != end && static_cast<unsigned char>(*at) >= 0x20) {
        at++;
    }
    return at;
}

// Where a CR or an LF first is from `at` to before `end`, or `end`. Goes by
// windows, so that text without any LF is not searched for one from each CR.
inline const char *find_line_end(const char *at, const char *end) noexcept {
    constexpr std::ptrdiff_t window = 1024;

    while (at != end) {
        auto size = static_cast<std::size_t>(std::min(end - at, window));
        const auto *lf = std::memchr(at, '\n', size);
        if (lf != nullptr) {
            size =
                static_cast<std::size_t>(static_cast<const char *>(lf) - at);
        }
        const auto *cr = std::memchr(at, '\r', size);
        if (cr != nullptr || lf != nullptr) {
            return static_cast<const char *>(cr != nullptr ? cr : lf);
        }
        at += size;
    }
    return end;
}

}  // namespace keystile
