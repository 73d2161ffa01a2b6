#include "own_credential.hpp"

#include <array>

#include "ascii.hpp"
#include "key_header.hpp"
#include "placeholder.hpp"

namespace keystile {
namespace {

constexpr std::array<std::string_view, 4> kSiteSchemes{"basic", "digest",
                                                       "negotiate", "ntlm"};

constexpr bool is_visible_or_space(char c) noexcept {
    return c >= 0x20 && c < 0x7F;
}

}  // namespace

std::optional<Authorization> parse_authorization(
    std::string_view value) noexcept {
    value = trim(value);
    auto space = value.find(' ');
    if (space == std::string_view::npos || value.size() > kLongestKey ||
        !all<is_visible_or_space>(value) ||
        !is_token(value.substr(0, space))) {
        return std::nullopt;
    }
    return Authorization{.scheme = value.substr(0, space),
                         .credentials = trim(value.substr(space))};
}

bool is_for_provider(const Authorization &authorization) noexcept {
    for (auto scheme : kSiteSchemes) {
        if (equals_ignoring_case(scheme, authorization.scheme)) {
            return false;
        }
    }
    bool is_bearer = equals_ignoring_case(authorization.scheme, "bearer");
    bool is_one_word =
        authorization.credentials.find(' ') == std::string_view::npos;
    return (is_one_word || !is_bearer) &&
           !is_known_placeholder(authorization.credentials);
}

}  // namespace keystile
