// Opening a file that only root and one other user can have put there.

#pragma once

#include <limits.h>
#include <sys/types.h>

#include <cstddef>
#include <string_view>

#include "file_descriptor.hpp"
#include "result.hpp"
#include "secret_file_error.hpp"

namespace keystile {

constexpr bool is_trusted_owner(uid_t owner, uid_t starting_user) noexcept {
    return owner == 0 || owner == starting_user;
}

// The path to what a walk has reached, free of links, for its errors.
class RealPath {
public:
    // False when the path is too long to be one.
    [[nodiscard]] bool push(std::string_view name) noexcept;
    void pop() noexcept;  // nothing at the root
    void clear() noexcept { size_ = 0; }

    [[nodiscard]] SecretFileError error(SecretFileError::Rule rule,
                                        int error_number = 0) const noexcept;

private:
    char text_[PATH_MAX];  // "/a/b"; empty for the root
    std::size_t size_ = 0;
};

struct TrustedFile {
    FileDescriptor descriptor;
    RealPath path;
};

// Opens the file at the end of `path` for reading, and checks all directories
// and links on the way (secret_file.hpp), but of the file itself only that it
// is a regular one. Requires path to be NUL-terminated.
Result<TrustedFile, SecretFileError> open_trusted_file(
    const char *path, uid_t starting_user) noexcept;

}  // namespace keystile
