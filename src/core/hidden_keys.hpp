// Keys that may not stand in a text: each is overwritten with "*".

#pragma once

#include <cstddef>
#include <span>

#include "key_print.hpp"

namespace keystile {

class HiddenKeys {
public:
    // Keys that outlive this object. The credential is the last: it is sought
    // first, as what a caller presents, a key or not, may overlap it.
    explicit HiddenKeys(std::span<const KeyPrint> keys) noexcept
        : keys_{keys} {}

    void hide(std::span<char> text) noexcept;

    // The same in JSON, which it stays, whatever callers present as a key: they
    // are sought in what stands for itself in a string, and nowhere else.
    void hide_in_strings(std::span<char> json) noexcept;

    // How many were found.
    std::size_t count() const noexcept { return count_; }

    // Bytes of the longest.
    std::size_t longest() const noexcept;

private:
    std::span<const KeyPrint> keys_;
    std::size_t count_ = 0;
};

}  // namespace keystile
