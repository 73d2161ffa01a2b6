// A credential of the caller's own, for the provider, which a location with
// "keystile_inject passthrough" sends on.

#pragma once

#include <optional>
#include <string_view>

namespace keystile {

// The value of Authorization (RFC 9110 section 11.6.2), taken apart.
struct Authorization {
    std::string_view scheme;
    std::string_view credentials;  // what follows it, trimmed; never empty
};

// Nothing where `value` has no scheme, or has nothing after it, holds a byte
// outside 0x20..0x7E, or is longer than a key may be.
std::optional<Authorization> parse_authorization(
    std::string_view value) noexcept;

// Whether credentials of that form are for a provider: a bearer token (RFC
// 6750) or one of another scheme, such as Codex's AgentAssertion, but not
// what people log in to web sites with (Basic, Digest, Negotiate, NTLM), nor
// a placeholder. It is left to check that they are no client key.
bool is_for_provider(const Authorization &authorization) noexcept;

}  // namespace keystile
