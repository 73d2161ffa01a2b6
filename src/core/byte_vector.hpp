// Sixteen bytes looked at together: what GCC and clang make of their vectors
// is SSE2 on x86-64 and NEON on arm64, which every such processor has.

#pragma once

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace keystile {

using ByteVector [[gnu::vector_size(16)]] = std::uint8_t;

// In each byte all bits or none: what comparing two ByteVectors makes.
using ByteMask = decltype(std::declval<ByteVector>() < std::uint8_t{1});

#ifdef __SSE2__

inline bool any(ByteMask mask) noexcept {
    return _mm_movemask_epi8(std::bit_cast<__m128i>(mask)) != 0;
}

// The place of the first byte of which the mask is set; there must be one.
inline std::size_t first_of(ByteMask mask) noexcept {
    auto bits = _mm_movemask_epi8(std::bit_cast<__m128i>(mask));
    return static_cast<std::size_t>(
        std::countr_zero(static_cast<unsigned>(bits)));
}

#else

inline bool any(ByteMask mask) noexcept {
    auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(mask);
    return (halves[0] | halves[1]) != 0;
}

inline std::size_t first_of(ByteMask mask) noexcept {
    auto bytes = std::bit_cast<std::array<std::uint8_t, 16>>(mask);
    std::size_t place = 0;
    while (bytes[place] == 0) {
        place++;
    }
    return place;
}

#endif

template <typename Word>
inline Word load_as(const char *at) noexcept {
    Word word;
    std::memcpy(&word, at, sizeof(word));
    return word;
}

// A text of 1 to 15 bytes, some of them more than once, and nothing else.
inline ByteVector load_short(std::string_view s) noexcept {
    const char *begin = s.data();
    const char *end = begin + s.size();
    std::array<std::uint64_t, 2> halves;
    if (s.size() >= 8) {
        halves = {load_as<std::uint64_t>(begin),
                  load_as<std::uint64_t>(end - 8)};
    } else if (s.size() >= 4) {
        auto first = std::uint64_t{load_as<std::uint32_t>(begin)};
        auto last = std::uint64_t{load_as<std::uint32_t>(end - 4)};
        halves[0] = halves[1] = first | last << 32;
    } else {
        auto byte = [begin](std::size_t i) {
            constexpr std::uint64_t ones = 0x0101010101010101;
            return ones * static_cast<unsigned char>(begin[i]);
        };
        auto rest = byte(s.size() / 2) << 32 | byte(s.size() - 1) >> 32;
        halves = {byte(0), rest};
    }
    return std::bit_cast<ByteVector>(halves);
}

// Whether faulty(ByteVector) is so for no byte of `s`. The last bytes of a
// long text are looked at twice.
template <typename Faulty>
inline bool none_of_bytes(std::string_view s, Faulty faulty) noexcept {
    if (s.size() < sizeof(ByteVector)) {
        return s.empty() || !any(faulty(load_short(s)));
    }
    const char *last = s.data() + s.size() - sizeof(ByteVector);
    ByteMask found = faulty(load_as<ByteVector>(last));
    for (const char *at = s.data(); at < last; at += sizeof(ByteVector)) {
        found |= faulty(load_as<ByteVector>(at));
    }
    return !any(found);
}

}  // namespace keystile
