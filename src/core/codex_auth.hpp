// The credential of an auth.json, as "codex login" writes it: the header lines
// of its access token, in locked memory.
//
//   Authorization: Bearer <tokens.access_token>
//   ChatGPT-Account-ID: <tokens.account_id>
//   X-OpenAI-Fedramp: true                    where a token's claim says so
//
// The file is read into the memory in which the lines are made. Nothing else
// of it is there when that is sealed, its refresh token in particular, and no
// byte of any token is ever held elsewhere.
//
// The rules for its content (a file that breaks one is refused):
//   - it is one JSON object, up to 32 levels deep, in which none of the
//     members that are named here is there twice; others may be anything;
//   - "auth_mode" is "chatgpt", "chatgptAuthTokens" or "apikey"; where it is
//     missing or null it is "apikey" if "OPENAI_API_KEY" is a string, and else
//     "chatgpt". "agentIdentity" and "bedrockApiKey" sign requests;
//   - for "apikey", "OPENAI_API_KEY" is a key. It goes up as a bearer token,
//     alone, and the rest does not matter;
//   - else "tokens" is an object, and its "access_token" is a key; "account_id"
//     is a string, or missing, null or empty: then a token's claim
//     "chatgpt_account_id" counts, that of "access_token" before that of
//     "id_token". It is 1 to 256 characters long;
//   - a key is 1 to 16384 bytes of printable ASCII without spaces, as the
//     account is, and no known placeholder.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "locked_memory.hpp"
#include "result.hpp"
#include "secret_file_error.hpp"
#include "secret_line.hpp"

namespace keystile {

inline constexpr HeaderLineFormat kCodexAuthFormat{"Authorization", "Bearer "};

// What goes with the token: a client's own must not reach the provider.
inline constexpr std::array<std::string_view, 2> kCodexAuthHeaders{
    "ChatGPT-Account-ID", "X-OpenAI-Fedramp"};

struct CodexAuth {
    SecretLine lines;
    // Of the access token, seconds since the epoch; 0: not known, as it is no
    // JWT.
    std::int64_t expires;
};

class CodexAuthDraft {
public:
    // The most an auth.json may hold, in bytes.
    static constexpr std::size_t kMaxContent = 65536;

    // For a content of so many bytes.
    static Result<CodexAuthDraft, SecretFileError> create(
        std::size_t size) noexcept;

    // Where to read the content to: its size and one more, so that a reader
    // sees when there is more.
    [[nodiscard]] std::span<std::byte> content() noexcept;

    // Makes the first `size` bytes of the content header lines, by the rules
    // above. Requires size < content().size().
    Result<CodexAuth, SecretFileError> finish(std::size_t size) &&noexcept;

private:
    CodexAuthDraft(LockedMemory memory, std::size_t size) noexcept
        : memory_{std::move(memory)}, size_{size} {}

    LockedMemory memory_;
    std::size_t size_;
};

}  // namespace keystile
