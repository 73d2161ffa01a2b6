// The beginning of one JSON string (RFC 8259 section 7), unescaped, from
// pieces of text that end anywhere.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keystile {

class JsonText {
public:
    // Longer strings are read to their end, and their beginning is kept.
    static constexpr std::size_t kRoom = 64;

    enum class State : std::uint8_t { open, closed, malformed };

    // What comes next stands after the opening quote.
    void start() noexcept;

    // Removes from `piece` what belongs to the string, its closing quote
    // included. Malformed: a control byte, or an escape that is none.
    State take(std::string_view &piece) noexcept;

    // In UTF-8 as far as the text is; a half of a surrogate pair is U+FFFD.
    std::string_view text() const noexcept { return {bytes_.data(), size_}; }
    bool is_whole() const noexcept { return whole_; }

private:
    enum class Escape : std::uint8_t { none, begun, unicode };

    bool escaped(char c) noexcept;
    bool hex_digit(char c) noexcept;
    void code_unit(unsigned unit) noexcept;
    void lone_surrogate() noexcept;
    void append(std::string_view bytes) noexcept;
    void append_code_point(unsigned point) noexcept;

    std::array<char, kRoom> bytes_{};
    std::uint16_t unit_ = 0;       // of \uXXXX, as far as it was read
    std::uint16_t surrogate_ = 0;  // the first of a pair, or 0
    std::uint8_t size_ = 0;
    std::uint8_t digits_ = 0;
    Escape escape_ = Escape::none;
    bool whole_ = true;
};

}  // namespace keystile
