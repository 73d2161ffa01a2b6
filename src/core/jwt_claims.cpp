#include "jwt_claims.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "ascii.hpp"
#include "json_member_span.hpp"

namespace keystile {
namespace {

using Kind = JsonMemberSpan::Kind;

// RFC 4648 section 5: the value of a character, or -1.
int base64url_value(char c) noexcept {
    constexpr std::string_view others{"-_"};

    if (is_alpha(c)) {
        return lower(c) == c ? c - 'a' + 26 : c - 'A';
    }
    if (is_digit(c)) {
        return c - '0' + 52;
    }
    auto at = others.find(c);
    return at == std::string_view::npos ? -1 : static_cast<int>(at) + 62;
}

// Without padding, as JWTs have it. Requires room for as many bytes as there
// are characters.
std::optional<std::string_view> decode_base64url(
    std::string_view text, std::span<char> room) noexcept {
    if (text.size() % 4 == 1) {
        return std::nullopt;
    }
    std::size_t size = 0;
    unsigned bits = 0;
    int held = 0;
    for (char c : text) {
        int value = base64url_value(c);
        if (value < 0) {
            return std::nullopt;
        }
        bits = (bits << 6 | static_cast<unsigned>(value)) & 0x3FFF;
        held += 6;
        if (held >= 8) {
            held -= 8;
            room[size++] = static_cast<char>(bits >> held);
        }
    }
    return std::string_view{room.data(), size};
}

// The middle one of three parts, none of which is empty.
std::optional<std::string_view> payload_of(std::string_view token) noexcept {
    auto first = token.find('.');
    auto last = token.rfind('.');
    if (first == 0 || first == std::string_view::npos || last <= first + 1 ||
        last + 1 == token.size()) {
        return std::nullopt;
    }
    auto payload = token.substr(first + 1, last - first - 1);
    return payload.find('.') == std::string_view::npos ? std::optional{payload}
                                                       : std::nullopt;
}

// A NumericDate (RFC 7519 section 2), whose fraction is dropped; 0 for what is
// none, or before 1970.
std::int64_t read_date(const JsonMemberSpan &member) noexcept {
    auto digits = member.value.substr(0, member.value.find('.'));
    auto end = digits.data() + digits.size();
    std::int64_t seconds = 0;
    if (member.kind != Kind::number) {
        return 0;
    }
    auto [rest, error] = std::from_chars(digits.data(), end, seconds);
    bool whole = error == std::errc{} && rest == end;
    auto fraction = member.value.substr(digits.size());
    bool has_exponent = fraction.find_first_of("eE") != std::string_view::npos;
    return whole && !has_exponent && seconds > 0 ? seconds : 0;
}

}  // namespace

std::optional<JwtClaims> read_jwt_claims(std::string_view token,
                                         std::span<char> room) noexcept {
    auto payload = payload_of(token);
    auto text = payload ? decode_base64url(*payload, room) : std::nullopt;
    std::array<JsonMemberSpan, 2> claims{
        {{"exp"}, {"https://api.openai.com/auth"}}};
    if (!text || find_json_members(*text, claims)) {
        return std::nullopt;
    }

    const auto &[exp, auth] = claims;
    JwtClaims found{.expires = read_date(exp)};
    std::array<JsonMemberSpan, 2> members{
        {{"chatgpt_account_id"}, {"chatgpt_account_is_fedramp"}}};
    if (auth.kind == Kind::object) {
        if (find_json_members(auth.value, members)) {
            return std::nullopt;
        }
        const auto &[account_id, is_fedramp] = members;
        if (account_id.kind == Kind::text) {
            found.account_id = account_id.value;
        }
        found.is_fedramp = is_fedramp.kind == Kind::yes;
    }
    return found;
}

}  // namespace keystile
