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
    }
    return "";
}

}  // namespace keystile
