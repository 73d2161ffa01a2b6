#include "secret_file_error.hpp"

#include <algorithm>

namespace keystile {

SecretFileError secret_file_error(SecretFileError::Rule rule, int error_number,
                                  std::string_view component) noexcept {
    constexpr std::string_view ellipsis = "...";

    SecretFileError error{rule, error_number};
    constexpr auto room = sizeof(error.component) - 1;
    auto to = error.component;
    if (component.size() > room) {
        to = std::copy(ellipsis.begin(), ellipsis.end(), to);
        auto kept = room - ellipsis.size();
        component.remove_prefix(component.size() - kept);
    }
    std::transform(component.begin(), component.end(), to, [](char c) {
        return static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
    });
    return error;
}

std::string_view describe(SecretFileError::Rule rule) noexcept {
    using Rule = SecretFileError::Rule;

    switch (rule) {
    case Rule::absolute_path:
        return "must be an absolute path";
    case Rule::path_length:
        return "must be a shorter path";
    case Rule::path_exists:
        return "must exist and be within reach";
    case Rule::directory_owner:
        return "must be a directory of root or of the starting user";
    case Rule::directory_writable:
        return "must be a directory that group and others cannot write to";
    case Rule::link_owner:
        return "must be a symbolic link of root or of the starting user";
    case Rule::link_count:
        return "must lead to a file over at most 40 symbolic links";
    case Rule::regular_file:
        return "must be a regular file";
    case Rule::readable:
        return "must be readable";
    case Rule::file_owner:
        return "must be owned by root or by the starting user";
    case Rule::file_access:
        return "must not be accessible by group or others (mode 0600)";
    case Rule::file_writable:
        return "must not be writable by group or others";
    case Rule::file_stable:
        return "must not change while it is read";
    case Rule::not_empty:
        return "must not be empty";
    case Rule::size_limit:
        return "must not hold more than 16384 bytes";
    case Rule::one_line:
        return "must hold one line only";
    case Rule::characters:
        return "must hold printable ASCII characters only, and no spaces";
    case Rule::not_placeholder:
        return "must hold a key, not a placeholder for one";
    case Rule::lockable_memory:
        return "must fit into locked memory (RLIMIT_MEMLOCK)";
    case Rule::auth_size_limit:
        return "must not hold more than 65536 bytes";
    case Rule::json:
        return "must be JSON";
    case Rule::json_depth:
        return "must not have more than 32 objects and arrays in each other";
    case Rule::json_object:
        return "must hold one JSON object";
    case Rule::json_doubled:
        return "must not have this member twice";
    case Rule::codex_mode:
        return "must have an \"auth_mode\" of \"chatgpt\", "
               "\"chatgptAuthTokens\" or \"apikey\"";
    case Rule::codex_agent_identity:
        return "must hold a token: requests of \"auth_mode\" "
               "\"agentIdentity\" are signed one by one, which only the "
               "client can do";
    case Rule::codex_bedrock:
        return "must hold a token of OpenAI's: \"auth_mode\" "
               "\"bedrockApiKey\" is for Amazon Bedrock";
    case Rule::codex_api_key:
        return "must have \"OPENAI_API_KEY\", a string, for \"auth_mode\" "
               "\"apikey\"";
    case Rule::codex_tokens:
        return "must have the object \"tokens\" (\"codex login\" writes it)";
    case Rule::codex_access_token:
        return "must have \"access_token\", a string, in \"tokens\"";
    case Rule::codex_account:
        return "must name the account, in 1 to 256 printable ASCII characters "
               "without spaces: as \"account_id\" in \"tokens\", or as "
               "\"chatgpt_account_id\" in a claim of a token";
    case Rule::token_characters:
        return "must have a token of printable ASCII characters only, without "
               "spaces";
    case Rule::token_size:
        return "must not have a token of more than 16384 bytes";
    }
    return "";
}

}  // namespace keystile
