// What is counted of a client and a model.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace keystile {

enum class Figure : std::uint8_t {
    requests,       // that went to the provider; on a socket, turns
    usage_missing,  // of them, those whose cost could not be seen
    input,          // tokens, all of the input
    cached,         // of it, read from a cache
    cache_written,  // of it, put in a cache
    output,         // tokens, all of the output
    reasoning,      // of it, not shown as answer
    cost,           // Picodollars (limit.hpp)
    sent,           // bytes of request bodies and of client's frames
    received,       // bytes of replies' bodies and of provider's frames
    first_tokens,   // turns that got a first byte of an answer
    first_token_milliseconds,  // their sum, from admission on
    milliseconds,              // of all turns, from admission to their end
};
inline constexpr std::size_t kFigures = 13;

class Totals {
public:
    std::uint64_t &operator[](Figure figure) noexcept {
        return values_[static_cast<std::size_t>(figure)];
    }
    std::uint64_t operator[](Figure figure) const noexcept {
        return values_[static_cast<std::size_t>(figure)];
    }
    Totals &operator+=(const Totals &other) noexcept {
        for (std::size_t i = 0; i < kFigures; i++) {
            values_[i] += other.values_[i];
        }
        return *this;
    }
    bool operator==(const Totals &) const noexcept = default;

private:
    std::array<std::uint64_t, kFigures> values_{};
};

}  // namespace keystile
