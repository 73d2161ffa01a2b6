#include "key_header.hpp"

#include <algorithm>

#include "ascii.hpp"
#include "header_names.hpp"

namespace keystile {
namespace {

constexpr std::string_view kBearer = "bearer";

bool is_key(std::string_view text) noexcept {
    return none_of_bytes(text, [](ByteVector bytes) {
        return (bytes <= 0x20) | (bytes >= 0x7F);
    });
}

// What follows the Bearer scheme, or nothing when the scheme is another.
std::string_view after_bearer(std::string_view value) noexcept {
    if (value.size() <= kBearer.size() || !is_space(value[kBearer.size()]) ||
        !equals_ignoring_case(value.substr(0, kBearer.size()), kBearer)) {
        return {};
    }
    return trim(value.substr(kBearer.size()));
}

}  // namespace

std::string_view read_key_header(std::string_view name,
                                 std::string_view value) noexcept {
    value = trim(value);

    auto key = after_bearer(value);
    if (key.empty() && !equals_ignoring_case(name, "authorization")) {
        key = value;
    }
    if (key.size() > kLongestKey || !is_key(key)) {
        return {};
    }
    return key;
}

bool is_credential_header(std::string_view name) noexcept {
    static constexpr auto names = [] {
        HeaderNames all;
        for (auto one : kCredentialHeaders) {
            all.add(one);
        }
        return all;
    }();
    return names.may_hold(name) &&
           std::any_of(kCredentialHeaders.begin(), kCredentialHeaders.end(),
                       [name](std::string_view one) {
                           return same_header_name(one, name);
                       });
}

bool has_other_meaning(std::string_view name) noexcept {
    static constexpr std::array<std::string_view, 16> names{
        "connection",
        "keep-alive",
        "upgrade",
        "host",
        "content-length",
        "content-type",
        "content-encoding",
        "transfer-encoding",
        "te",
        "trailer",
        "expect",
        "cookie",
        "x-request-id",
        "accept",
        "accept-encoding",
        "sec-websocket-protocol",
    };
    return std::any_of(
        names.begin(), names.end(),
        [name](std::string_view one) { return same_header_name(one, name); });
}

}  // namespace keystile
