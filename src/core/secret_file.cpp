#include "secret_file.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <span>

#include "trusted_path.hpp"

namespace keystile {
namespace {

using Rule = SecretFileError::Rule;

// What an owner check cannot see: the rules for the file itself.
std::optional<Rule> broken_rule(const struct stat &status,
                                const SecretFileOptions &options,
                                SecretFileWarnings &warnings) noexcept {
    if (!is_trusted_owner(status.st_uid, options.owner)) {
        return Rule::file_owner;
    }
    if ((status.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        if (!options.relaxed) {
            return Rule::file_access;
        }
        if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
            return Rule::file_writable;
        }
        warnings.accessible_by_others = true;
    }
    if (status.st_size == 0) {
        return Rule::not_empty;
    }
    return std::nullopt;
}

// Reads until the end or until the room is full; the error is errno.
Result<std::size_t, int> read_to_end(int fd,
                                     std::span<std::byte> room) noexcept {
    std::size_t size = 0;
    while (size < room.size()) {
        auto n = read(fd, room.data() + size, room.size() - size);
        if (n == 0) {
            break;
        }
        if (n > 0) {
            size += static_cast<std::size_t>(n);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return size;
}

bool is_same_content(const struct stat &a, const struct stat &b) noexcept {
    return a.st_size == b.st_size && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
           a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

// Reads a file into the draft that create(its size) makes, and returns what
// finish(draft, size) makes of that.
template <typename Made, typename Create, typename Finish>
Result<Made, SecretFileError> read_file(const char *path,
                                        const SecretFileOptions &options,
                                        SecretFileWarnings &warnings,
                                        Create create,
                                        Finish finish) noexcept {
    auto file = open_trusted_file(path, options.owner);
    if (!file) {
        return file.error();
    }
    auto fd = file->descriptor.get();

    struct stat before;
    if (fstat(fd, &before) != 0) {
        return file->path.error(Rule::readable, errno);
    }
    if (auto rule = broken_rule(before, options, warnings)) {
        return file->path.error(*rule);
    }

    auto draft = create(static_cast<std::size_t>(before.st_size));
    if (!draft) {
        return file->path.error(draft.error().rule,
                                draft.error().error_number);
    }
    auto size = read_to_end(fd, draft->content());
    if (!size) {
        return file->path.error(Rule::readable, size.error());
    }

    struct stat after;
    if (fstat(fd, &after) != 0 || !is_same_content(before, after) ||
        *size != static_cast<std::size_t>(before.st_size)) {
        return file->path.error(Rule::file_stable);
    }

    Result<Made, SecretFileError> made = finish(std::move(*draft), *size);
    if (!made) {
        auto error =
            file->path.error(made.error().rule, made.error().error_number);
        error.line = made.error().line;
        error.column = made.error().column;
        return error;
    }
    return made;
}

}  // namespace

Result<SecretLine, SecretFileError> read_secret_file(
    const char *path, const HeaderLineFormat &format,
    const SecretFileOptions &options, SecretFileWarnings &warnings) noexcept {
    auto create =
        [&format](std::size_t size) -> Result<SecretDraft, SecretFileError> {
        if (size > SecretDraft::kMaxContent) {
            return SecretFileError{Rule::size_limit};
        }
        return SecretDraft::create(format);
    };
    auto finish = [&warnings](SecretDraft &&draft, std::size_t size) {
        return std::move(draft).finish(size, warnings.scheme_removed);
    };
    return read_file<SecretLine>(path, options, warnings, create, finish);
}

Result<CodexAuth, SecretFileError> read_codex_auth_file(
    const char *path, const SecretFileOptions &options,
    SecretFileWarnings &warnings) noexcept {
    auto finish = [](CodexAuthDraft &&draft, std::size_t size) {
        return std::move(draft).finish(size);
    };
    return read_file<CodexAuth>(path, options, warnings,
                                CodexAuthDraft::create, finish);
}

Result<SecretLine, SecretFileError> read_secret_fd(
    int fd, const HeaderLineFormat &format,
    SecretFileWarnings &warnings) noexcept {
    auto draft = SecretDraft::create(format);
    if (!draft) {
        return draft.error();
    }
    auto size = read_to_end(fd, draft->content());
    if (!size) {
        return SecretFileError{Rule::readable, size.error()};
    }
    return std::move(*draft).finish(*size, warnings.scheme_removed);
}

}  // namespace keystile
