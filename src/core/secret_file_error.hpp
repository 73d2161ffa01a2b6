// Why a credential file was refused: the rule it breaks, and what broke it.
// Nothing in here is ever taken from the content of the file.

#pragma once

#include <cstdint>
#include <string_view>

namespace keystile {

struct SecretFileError {
    enum class Rule : std::uint8_t {
        absolute_path,
        path_length,
        path_exists,
        directory_owner,
        directory_writable,
        link_owner,
        link_count,
        regular_file,
        readable,
        file_owner,
        file_access,
        file_writable,
        file_stable,
        not_empty,
        size_limit,
        one_line,
        characters,
        not_placeholder,
        lockable_memory,
        // Of an auth.json (codex_auth.hpp):
        auth_size_limit,
        json,
        json_depth,
        json_object,
        json_doubled,
        codex_mode,
        codex_agent_identity,
        codex_bedrock,
        codex_api_key,
        codex_tokens,
        codex_access_token,
        codex_account,
        token_characters,
        token_size,
    };

    Rule rule;
    // errno where a system call failed, else 0.
    int error_number = 0;
    // The real path of what broke the rule, a directory or link on the way or
    // the file itself, with links resolved so far; NUL-terminated, and only
    // its end where it is long ("..." stands for the rest). Control bytes are
    // shown as `?`. Empty for read_secret_fd().
    char component[256] = {};
    // Where a text of JSON breaks the rule, from 1; else 0.
    int line = 0;
    int column = 0;
};

// Fills in the component as it is described above.
SecretFileError secret_file_error(SecretFileError::Rule rule, int error_number,
                                  std::string_view component) noexcept;

// The rule as the rest of a sentence that begins with the component, for an
// operator: "must be a regular file". A literal, so NUL-terminated.
std::string_view describe(SecretFileError::Rule rule) noexcept;

}  // namespace keystile
