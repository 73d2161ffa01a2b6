#include "json_text.hpp"

#include <algorithm>

#include "ascii.hpp"
#include "byte_search.hpp"

namespace keystile {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// Removes and returns the bytes that stand for themselves.
std::string_view take_plain(std::string_view &piece) noexcept {
    const char *begin = piece.data();
    const char *end = find_special(begin, begin + piece.size());
    auto plain = piece.substr(0, static_cast<std::size_t>(end - begin));
    piece.remove_prefix(plain.size());
    return plain;
}

}  // namespace

void JsonText::start() noexcept {
    surrogate_ = 0;
    size_ = 0;
    escape_ = Escape::none;
    whole_ = true;
}

JsonText::State JsonText::take(std::string_view &piece) noexcept {
    while (!piece.empty()) {
        if (escape_ == Escape::none) {
            auto plain = take_plain(piece);
            if (!plain.empty()) {
                append(plain);
                continue;
            }
        }
        char c = piece.front();
        piece.remove_prefix(1);
        if (escape_ != Escape::none) {
            if (!escaped(c)) {
                return State::malformed;
            }
        } else if (c == '\\') {
            escape_ = Escape::begun;
        } else {
            lone_surrogate();
            return c == '"' ? State::closed : State::malformed;
        }
    }
    return State::open;
}

// The next byte of an escape; false when there is no such escape.
bool JsonText::escaped(char c) noexcept {
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";

    if (escape_ == Escape::unicode) {
        return hex_digit(c);
    }
    if (c == 'u') {
        escape_ = Escape::unicode;
        unit_ = 0;
        digits_ = 0;
        return true;
    }
    escape_ = Escape::none;
    auto at = names.find(c);
    if (at == std::string_view::npos) {
        return false;
    }
    append(meanings.substr(at, 1));
    return true;
}

bool JsonText::hex_digit(char c) noexcept {
    int value = hex_value(c);
    if (value < 0) {
        return false;
    }
    unit_ = static_cast<std::uint16_t>(unit_ * 16 + value);
    digits_++;
    if (digits_ == 4) {
        escape_ = Escape::none;
        code_unit(unit_);
    }
    return true;
}

void JsonText::code_unit(unsigned unit) noexcept {
    bool is_second = unit >= 0xDC00 && unit <= 0xDFFF;
    if (is_second && surrogate_ != 0) {
        auto high = static_cast<unsigned>(surrogate_) - 0xD800;
        surrogate_ = 0;
        append_code_point(0x10000 + (high << 10) + (unit - 0xDC00));
        return;
    }
    lone_surrogate();
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        surrogate_ = static_cast<std::uint16_t>(unit);
    } else if (is_second) {
        append(kReplacement);
    } else {
        append_code_point(unit);
    }
}

// A first half whose second did not follow.
void JsonText::lone_surrogate() noexcept {
    if (surrogate_ != 0) {
        surrogate_ = 0;
        append(kReplacement);
    }
}

// RFC 3629 section 3.
void JsonText::append_code_point(unsigned point) noexcept {
    std::array<char, 4> bytes;
    auto count = point < 0x80      ? 1U
                 : point < 0x800   ? 2U
                 : point < 0x10000 ? 3U
                                   : 4U;
    for (auto i = count - 1; i > 0; i--) {
        bytes[i] = static_cast<char>(0x80 | (point & 0x3F));
        point >>= 6;
    }
    constexpr std::array<unsigned, 5> leads{0, 0, 0xC0, 0xE0, 0xF0};
    bytes[0] = static_cast<char>(leads[count] | point);
    append({bytes.data(), count});
}

void JsonText::append(std::string_view bytes) noexcept {
    lone_surrogate();
    auto left = kRoom - size_;
    if (bytes.size() > left || !whole_) {
        whole_ = false;
        bytes = bytes.substr(0, left);
    }
    std::copy(bytes.begin(), bytes.end(), bytes_.begin() + size_);
    size_ = static_cast<std::uint8_t>(size_ + bytes.size());
}

}  // namespace keystile
