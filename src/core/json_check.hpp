// Whether text is JSON, to the letter of RFC 8259, from pieces that end
// anywhere and in fixed memory: where two readers could make two things of
// one text, since one of them is lenient, it is not.
//
// Strings are UTF-8 (RFC 3629). A half of a surrogate pair may be escaped, as
// the grammar has it, and a member come twice. A byte order mark is not JSON.

#pragma once

#include <bitset>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "json_compact.hpp"

namespace keystile {

class JsonCheck {
public:
    // Begins another text.
    void start() noexcept {
        state_ = State::value;
        depth_ = 0;
    }

    // More of the text.
    void take(std::string_view piece) noexcept;

    // What was taken is one JSON text, at most kDeepestJson deep.
    bool is_valid() const noexcept;

    // And whatever follows, it is none.
    bool is_bad() const noexcept { return state_ == State::bad; }

private:
    // What comes next, or what we are in.
    enum class State : std::uint8_t {
        value,
        first_element,  // or the end of the array
        first_name,     // or the end of the object
        name,
        colon,
        after,  // a value
        text,
        escape,
        hex_digits,
        utf8,
        literal,
        // Of a number, after:
        minus,
        zero,
        digits,
        point,
        fraction,
        exponent,
        exponent_sign,
        exponent_digits,
        bad,
    };

    State next(char c) noexcept;
    State token(char c) noexcept;
    State value(char c) noexcept;
    State begin_text(bool is_name) noexcept;
    State after_value(char c) noexcept;
    State open(bool is_object) noexcept;
    State close(bool is_object) noexcept;
    State text(char c) noexcept;
    State escape(char c) noexcept;
    State hex_digit(char c) noexcept;
    State begin_utf8(unsigned char lead) noexcept;
    State utf8(unsigned char byte) noexcept;
    State begin_literal(std::string_view rest) noexcept;
    State literal(char c) noexcept;
    State number(char c) noexcept;
    State after_whole(char c) noexcept;
    State after_fraction(char c) noexcept;
    State after_number(char c) noexcept;
    bool in_object() const noexcept { return is_object_[depth_ - 1]; }

    std::string_view literal_;             // what is left of it
    std::bitset<kDeepestJson> is_object_;  // of those we are in
    std::size_t depth_ = 0;
    State state_ = State::value;
    bool is_name_ = false;    // the string that is read
    std::uint8_t left_ = 0;   // bytes, of a character or of an escape
    std::uint8_t least_ = 0;  // that the next byte of the character may be
    std::uint8_t most_ = 0;
};

}  // namespace keystile
