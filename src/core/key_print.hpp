// Finding a secret in a text without having the secret: by its length and a
// sum of its bytes, from which it cannot be told.

#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace keystile {

class KeyPrint {
public:
    KeyPrint() noexcept = default;
    explicit KeyPrint(std::string_view key) noexcept;

    std::size_t size() const noexcept { return size_; }

    // Overwrites the key with "*" wherever it stands in `text`; returns how
    // often it did. Another text is taken for it by a chance of 1 in 2^64 for
    // each byte.
    std::size_t blot_out(std::span<char> text) const noexcept;

private:
    std::size_t size_ = 0;
    std::uint64_t sum_ = 0;
    std::uint64_t weight_ = 0;  // of the byte before a run
};

}  // namespace keystile
