#include "json_check.hpp"

#include "ascii.hpp"
#include "byte_vector.hpp"

namespace keystile {
namespace {

// Where the first byte is that is not ASCII which stands for itself in a
// string; or `end`. Taken as signed, bytes that are not ASCII are below the
// control bytes.
const char *find_end_of_plain(const char *at, const char *end) noexcept {
    using Signed [[gnu::vector_size(16)]] = std::int8_t;
    constexpr std::ptrdiff_t size = sizeof(Signed);

    for (; end - at >= size; at += size) {
        auto bytes = load_as<Signed>(at);
        auto ends = (bytes < 0x20) | (bytes == '"') | (bytes == '\\');
        if (any(ends)) {
            return at + first_of(ends);
        }
    }
    while (at != end && static_cast<signed char>(*at) >= 0x20 && *at != '"' &&
           *at != '\\') {
        at++;
    }
    return at;
}

}  // namespace

void JsonCheck::take(std::string_view piece) noexcept {
    const char *at = piece.data();
    const char *end = at + piece.size();
    while (at != end && state_ != State::bad) {
        state_ = next(*at++);
        if (state_ == State::text) {
            at = find_end_of_plain(at, end);
        }
    }
}

bool JsonCheck::is_valid() const noexcept {
    switch (state_) {
    case State::after:
    case State::zero:
    case State::digits:
    case State::fraction:
    case State::exponent_digits:
        return depth_ == 0;
    default:
        return false;
    }
}

JsonCheck::State JsonCheck::next(char c) noexcept {
    switch (state_) {
    case State::value:
    case State::first_element:
    case State::first_name:
    case State::name:
    case State::colon:
    case State::after:
        return is_json_space(c) ? state_ : token(c);
    case State::text:
        return text(c);
    case State::escape:
        return escape(c);
    case State::hex_digits:
        return hex_digit(c);
    case State::utf8:
        return utf8(static_cast<unsigned char>(c));
    case State::literal:
        return literal(c);
    default:
        return number(c);
    }
}

JsonCheck::State JsonCheck::token(char c) noexcept {
    switch (state_) {
    case State::value:
        return value(c);
    case State::first_element:
        return c == ']' ? close(false) : value(c);
    case State::first_name:
        if (c == '}') {
            return close(true);
        }
        [[fallthrough]];
    case State::name:
        return c == '"' ? begin_text(true) : State::bad;
    case State::colon:
        return c == ':' ? State::value : State::bad;
    default:
        return after_value(c);
    }
}

JsonCheck::State JsonCheck::value(char c) noexcept {
    switch (c) {
    case '{':
        return open(true);
    case '[':
        return open(false);
    case '"':
        return begin_text(false);
    case 't':
        return begin_literal("rue");
    case 'f':
        return begin_literal("alse");
    case 'n':
        return begin_literal("ull");
    case '-':
        return State::minus;
    case '0':
        return State::zero;
    default:
        return is_digit(c) ? State::digits : State::bad;
    }
}

JsonCheck::State JsonCheck::begin_text(bool is_name) noexcept {
    is_name_ = is_name;
    return State::text;
}

JsonCheck::State JsonCheck::after_value(char c) noexcept {
    if (depth_ == 0) {
        return State::bad;
    }
    switch (c) {
    case ',':
        return in_object() ? State::name : State::value;
    case '}':
        return close(true);
    case ']':
        return close(false);
    default:
        return State::bad;
    }
}

JsonCheck::State JsonCheck::open(bool is_object) noexcept {
    if (depth_ == kDeepestJson) {
        return State::bad;
    }
    is_object_[depth_++] = is_object;
    return is_object ? State::first_name : State::first_element;
}

// Requires that we are in one of both.
JsonCheck::State JsonCheck::close(bool is_object) noexcept {
    if (in_object() != is_object) {
        return State::bad;
    }
    depth_--;
    return State::after;
}

JsonCheck::State JsonCheck::text(char c) noexcept {
    auto byte = static_cast<unsigned char>(c);
    if (c == '"') {
        return is_name_ ? State::colon : State::after;
    }
    if (c == '\\') {
        return State::escape;
    }
    if (byte >= 0x80) {
        return begin_utf8(byte);
    }
    return byte < 0x20 ? State::bad : State::text;
}

JsonCheck::State JsonCheck::escape(char c) noexcept {
    constexpr std::string_view others = "\"\\/bfnrt";
    if (c == 'u') {
        left_ = 4;
        return State::hex_digits;
    }
    return others.find(c) == std::string_view::npos ? State::bad : State::text;
}

JsonCheck::State JsonCheck::hex_digit(char c) noexcept {
    if (hex_value(c) < 0) {
        return State::bad;
    }
    left_--;
    return left_ == 0 ? State::text : State::hex_digits;
}

// RFC 3629 section 4: the second byte tells what is written too long, half of
// a surrogate pair, or beyond the last character.
JsonCheck::State JsonCheck::begin_utf8(unsigned char lead) noexcept {
    if (lead < 0xC2 || lead > 0xF4) {
        return State::bad;
    }
    left_ = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    least_ = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
    most_ = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    return State::utf8;
}

JsonCheck::State JsonCheck::utf8(unsigned char byte) noexcept {
    if (byte < least_ || byte > most_) {
        return State::bad;
    }
    left_--;
    least_ = 0x80;
    most_ = 0xBF;
    return left_ == 0 ? State::text : State::utf8;
}

JsonCheck::State JsonCheck::begin_literal(std::string_view rest) noexcept {
    literal_ = rest;
    return State::literal;
}

JsonCheck::State JsonCheck::literal(char c) noexcept {
    if (c != literal_.front()) {
        return State::bad;
    }
    literal_.remove_prefix(1);
    return literal_.empty() ? State::after : State::literal;
}

JsonCheck::State JsonCheck::number(char c) noexcept {
    bool is_more = is_digit(c);
    switch (state_) {
    case State::minus:
        return c == '0' ? State::zero : is_more ? State::digits : State::bad;
    case State::zero:
        return after_whole(c);
    case State::digits:
        return is_more ? State::digits : after_whole(c);
    case State::point:
        return is_more ? State::fraction : State::bad;
    case State::fraction:
        return is_more ? State::fraction : after_fraction(c);
    case State::exponent:
        if (c == '+' || c == '-') {
            return State::exponent_sign;
        }
        [[fallthrough]];
    case State::exponent_sign:
        return is_more ? State::exponent_digits : State::bad;
    case State::exponent_digits:
        return is_more ? State::exponent_digits : after_number(c);
    default:
        return State::bad;
    }
}

JsonCheck::State JsonCheck::after_whole(char c) noexcept {
    return c == '.' ? State::point : after_fraction(c);
}

JsonCheck::State JsonCheck::after_fraction(char c) noexcept {
    return c == 'e' || c == 'E' ? State::exponent : after_number(c);
}

JsonCheck::State JsonCheck::after_number(char c) noexcept {
    return is_json_space(c) ? State::after : after_value(c);
}

}  // namespace keystile
