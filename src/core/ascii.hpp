// ASCII as HTTP uses it, free of locales: case, tokens, whitespace, lists.
// RFC 9110 sections 5.6.1 (lists), 5.6.2 (tokens) and 5.6.3 (whitespace).

#pragma once

#include <algorithm>
#include <array>
#include <string_view>
#include <type_traits>

#include "byte_vector.hpp"

namespace keystile {

constexpr char lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

// The same of sixteen bytes.
inline ByteVector lower(ByteVector bytes) noexcept {
    auto is_upper = bytes - 'A' < 26;
    return bytes ^ (ByteVector(is_upper) & 0x20);
}

// Whether two texts of the same length differ by no more than what fold()
// takes away, of a byte and of a ByteVector.
template <typename Fold>
constexpr bool equals_folded(std::string_view a, std::string_view b,
                             Fold fold) noexcept {
    if (!std::is_constant_evaluated() && !a.empty() &&
        a.size() < sizeof(ByteVector)) {
        return !any(fold(load_short(a)) != fold(load_short(b)));
    }
    return std::equal(a.begin(), a.end(), b.begin(),
                      [fold](char x, char y) { return fold(x) == fold(y); });
}

constexpr bool equals_ignoring_case(std::string_view a,
                                    std::string_view b) noexcept {
    return a.size() == b.size() &&
           equals_folded(a, b, [](auto bytes) { return lower(bytes); });
}

// Header names as a hostile peer spells them: CGI-like servers map both `-`
// and `_` to the same variable, so `x_api_key` must count as `X-Api-Key`.
constexpr char lower_dashed(char c) noexcept {
    return c == '_' ? '-' : lower(c);
}

// The same of sixteen bytes.
inline ByteVector lower_dashed(ByteVector bytes) noexcept {
    auto is_underscore = bytes == '_';
    return lower(bytes) ^ (ByteVector(is_underscore) & ('_' ^ '-'));
}

constexpr bool same_header_name(std::string_view a,
                                std::string_view b) noexcept {
    return a.size() == b.size() &&
           equals_folded(a, b, [](auto bytes) { return lower_dashed(bytes); });
}

constexpr bool has_header_prefix(std::string_view name,
                                 std::string_view prefix) noexcept {
    return name.size() >= prefix.size() &&
           same_header_name(name.substr(0, prefix.size()), prefix);
}

constexpr bool is_alpha(char c) noexcept {
    return lower(c) >= 'a' && lower(c) <= 'z';
}

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// The value of a hexadecimal digit, or -1.
constexpr int hex_value(char c) noexcept {
    if (is_digit(c)) {
        return c - '0';
    }
    char l = lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
}

// Whether all bytes are of a kind: a template, so that the test of one byte is
// inlined, which a pointer to it would prevent.
template <bool (*IsOfKind)(char) noexcept>
constexpr bool all(std::string_view s) noexcept {
    for (char c : s) {
        if (!IsOfKind(c)) {
            return false;
        }
    }
    return true;
}

// RFC 9110 5.6.2: tchar.
inline constexpr auto kTokenChars = [] {
    std::array<bool, 256> is{};
    for (char c : std::string_view{"!#$%&'*+-.^_`|~"}) {
        is[static_cast<unsigned char>(c)] = true;
    }
    for (unsigned byte = 0; byte < 128; byte++) {
        char c = static_cast<char>(byte);
        is[byte] = is[byte] || is_alpha(c) || is_digit(c);
    }
    return is;
}();

constexpr bool is_token_char(char c) noexcept {
    return kTokenChars[static_cast<unsigned char>(c)];
}

constexpr bool is_token(std::string_view s) noexcept {
    return !s.empty() && all<is_token_char>(s);
}

// The same; quick where it is made of letters, digits, '-' and '_', as most
// names of headers are.
inline bool is_header_name(std::string_view s) noexcept {
    auto is_rare = [](ByteVector bytes) {
        auto is_letter = (bytes | 0x20) - 'a' < 26;
        auto is_number = bytes - '0' < 10;
        return ~(is_letter | is_number | (bytes == '-') | (bytes == '_'));
    };
    return !s.empty() && (none_of_bytes(s, is_rare) || is_token(s));
}

// RFC 9110 5.6.3: OWS is SP and HTAB.
constexpr bool is_space(char c) noexcept { return c == ' ' || c == '\t'; }

// RFC 8259 section 2: ws.
constexpr bool is_json_space(char c) noexcept {
    return is_space(c) || c == '\n' || c == '\r';
}

constexpr std::string_view trim(std::string_view s) noexcept {
    while (!s.empty() && is_space(s.front())) {
        s.remove_prefix(1);
    }
    while (!s.empty() && is_space(s.back())) {
        s.remove_suffix(1);
    }
    return s;
}

// A byte that a header value may carry: no control byte but HTAB, so that no
// value can end its own line (RFC 9110 5.5).
constexpr bool is_field_char(char c) noexcept {
    auto byte = static_cast<unsigned char>(c);
    return byte == '\t' || (byte >= 0x20 && byte != 0x7F);
}

// Headers can be long, and hold control bytes never: so sixteen bytes at a
// time are looked at together, and one by one only where there is one (HTAB
// may stay).
inline bool is_field_value(std::string_view s) noexcept {
    auto is_control = [](ByteVector bytes) {
        return (bytes < 0x20) | (bytes == 0x7F);
    };
    return none_of_bytes(s, is_control) || all<is_field_char>(s);
}

// Calls visit(element) for each non-empty element of a list, trimmed, until
// it returns false. Returns false when a visit did.
template <typename Visit>
constexpr bool for_each_element(std::string_view list, char separator,
                                Visit visit) noexcept {
    for (;;) {
        auto end = list.find(separator);
        auto element = trim(list.substr(0, end));
        if (!element.empty() && !visit(element)) {
            return false;
        }
        if (end == std::string_view::npos) {
            return true;
        }
        list.remove_prefix(end + 1);
    }
}

// Whether a comma-separated list holds `token`, case-insensitively.
constexpr bool list_has_token(std::string_view list,
                              std::string_view token) noexcept {
    return !for_each_element(list, ',', [token](std::string_view element) {
        return !equals_ignoring_case(element, token);
    });
}

}  // namespace keystile
