// The client's key, out of the header that carries it.
//
// Authorization carries "Bearer <key>" (RFC 6750 section 2.1), with the scheme
// in any case. Any other header carries the bare key; a "Bearer " before it
// is accepted, since some clients let users set a scheme for any header.

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace keystile {

// Longer than any key or JWT that a provider issues; shorter than a header
// that is sent to waste time.
inline constexpr std::size_t kLongestKey = 8192;

// The key in `value`, or an empty view where there is none: another scheme,
// nothing after it, a byte outside 0x21..0x7E, or more than kLongestKey.
std::string_view read_key_header(std::string_view name,
                                 std::string_view value) noexcept;

// Request headers that carry a key for somebody.
inline constexpr std::array<std::string_view, 7> kCredentialHeaders{
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "openai-api-key",
    "proxy-authorization",
    "ocp-apim-subscription-key",
};

// Whether it is one of them, in any spelling: none of them is ever forwarded.
bool is_credential_header(std::string_view name) noexcept;

// Whether a request header, in any spelling, has a meaning of its own, and so
// cannot carry a key, a client's or ours.
bool has_other_meaning(std::string_view name) noexcept;

}  // namespace keystile
