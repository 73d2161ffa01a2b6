// What OpenAI's tokens say of themselves: claims of a JWT (RFC 7519), whose
// signature is the provider's to check.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace keystile {

struct JwtClaims {
    std::int64_t expires = 0;  // "exp", seconds since the epoch; 0: not known
    // Members of "https://api.openai.com/auth". The account as it is quoted in
    // JSON, in `room`; empty: none.
    std::string_view account_id{};
    bool is_fedramp = false;
};

// Decodes the payload into `room`, which is as large as the token, and is all
// that holds any of it. None where that is no JWT, or its payload no JSON
// object, or one with a member twice that is looked for. A claim of another
// type than it should be is as if it were not there.
std::optional<JwtClaims> read_jwt_claims(std::string_view token,
                                         std::span<char> room) noexcept;

}  // namespace keystile
