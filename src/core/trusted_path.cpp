#include "trusted_path.hpp"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "directory_mode.hpp"

namespace keystile {
namespace {

using Rule = SecretFileError::Rule;

constexpr int kMaxLinks = 40;  // as in the kernel, path_resolution(7)

// What is still to be walked. A link's target is put in front of it.
class PendingPath {
public:
    [[nodiscard]] bool prepend(std::string_view target) noexcept {
        auto rest = view();
        if (target.size() + 1 + rest.size() > sizeof(text_)) {
            return false;
        }
        memmove(text_ + target.size() + 1, rest.data(), rest.size());
        std::copy(target.begin(), target.end(), text_);
        text_[target.size()] = '/';
        size_ = target.size() + 1 + rest.size();
        start_ = 0;
        // Without a rest there is no slash: one at the end asks for a
        // directory.
        if (rest.empty()) {
            size_--;
        }
        return true;
    }

    // The next name, empty at the end. The slash after it stays.
    std::string_view take_name() noexcept {
        auto rest = view();
        rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
        auto name = rest.substr(0, rest.find('/'));
        rest.remove_prefix(name.size());
        start_ = size_ - rest.size();
        return name;
    }

    [[nodiscard]] std::string_view view() const noexcept {
        return {text_ + start_, size_ - start_};
    }

private:
    char text_[PATH_MAX];
    std::size_t start_ = 0;
    std::size_t size_ = 0;
};

class Walk {
public:
    explicit Walk(uid_t starting_user) noexcept
        : starting_user_{starting_user} {}

    Result<TrustedFile, SecretFileError> open(std::string_view path) noexcept;

private:
    using Failure = std::optional<SecretFileError>;

    Failure go_to_root() noexcept;
    Failure step(std::string_view name) noexcept;
    Failure enter(FileDescriptor fd, const struct stat &status) noexcept;
    Failure follow(const FileDescriptor &fd,
                   const struct stat &status) noexcept;
    Failure open_file(const char *name) noexcept;

    uid_t starting_user_;
    int links_ = 0;
    PendingPath pending_;
    RealPath reached_;
    FileDescriptor directory_{-1};
    FileDescriptor file_{-1};
};

Result<TrustedFile, SecretFileError> Walk::open(
    std::string_view path) noexcept {
    if (!path.starts_with('/')) {
        return secret_file_error(Rule::absolute_path, 0, path);
    }
    if (!pending_.prepend(path)) {
        return reached_.error(Rule::path_length, ENAMETOOLONG);
    }
    if (auto failure = go_to_root()) {
        return *failure;
    }

    while (!file_) {
        auto name = pending_.take_name();
        if (name.empty()) {
            return reached_.error(Rule::regular_file);
        }
        if (auto failure = step(name)) {
            return *failure;
        }
    }
    return TrustedFile{std::move(file_), reached_};
}

Walk::Failure Walk::go_to_root() noexcept {
    reached_.clear();
    FileDescriptor root{::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)};
    struct stat status;
    if (!root || fstat(root.get(), &status) != 0) {
        return reached_.error(Rule::path_exists, errno);
    }
    return enter(std::move(root), status);
}

Walk::Failure Walk::step(std::string_view name) noexcept {
    if (name == ".") {
        return std::nullopt;
    }
    if (name == "..") {
        reached_.pop();
    } else if (name.size() > NAME_MAX || !reached_.push(name)) {
        return reached_.error(Rule::path_length, ENAMETOOLONG);
    }

    char c_name[NAME_MAX + 1];
    *std::copy(name.begin(), name.end(), c_name) = '\0';

    FileDescriptor fd{
        openat(directory_.get(), c_name, O_PATH | O_NOFOLLOW | O_CLOEXEC)};
    struct stat status;
    if (!fd || fstat(fd.get(), &status) != 0) {
        return reached_.error(Rule::path_exists, errno);
    }

    if (S_ISDIR(status.st_mode)) {
        return enter(std::move(fd), status);
    }
    if (S_ISLNK(status.st_mode)) {
        return follow(fd, status);
    }
    if (!pending_.view().empty()) {
        return reached_.error(Rule::path_exists, ENOTDIR);
    }
    if (!S_ISREG(status.st_mode)) {
        return reached_.error(Rule::regular_file);
    }
    return open_file(c_name);
}

Walk::Failure Walk::enter(FileDescriptor fd,
                          const struct stat &status) noexcept {
    if (!is_trusted_owner(status.st_uid, starting_user_)) {
        return reached_.error(Rule::directory_owner);
    }
    if (others_may_replace(status.st_mode)) {
        return reached_.error(Rule::directory_writable);
    }
    directory_ = std::move(fd);
    return std::nullopt;
}

Walk::Failure Walk::follow(const FileDescriptor &fd,
                           const struct stat &status) noexcept {
    if (!is_trusted_owner(status.st_uid, starting_user_)) {
        return reached_.error(Rule::link_owner);
    }
    if (++links_ > kMaxLinks) {
        return reached_.error(Rule::link_count, ELOOP);
    }

    // An empty path reads the link that was opened and looked at, not what
    // may have taken its name since.
    char target[PATH_MAX];
    auto size = readlinkat(fd.get(), "", target, sizeof(target));
    if (size <= 0) {
        return reached_.error(Rule::path_exists, size == 0 ? ENOENT : errno);
    }
    if (!pending_.prepend({target, static_cast<std::size_t>(size)})) {
        return reached_.error(Rule::path_length, ENAMETOOLONG);
    }

    if (target[0] == '/') {
        return go_to_root();
    }
    reached_.pop();
    return std::nullopt;
}

// O_PATH descriptors cannot be read from, so the file is opened once more. It
// may be another one by now: a file that replaced it is judged in its stead.
Walk::Failure Walk::open_file(const char *name) noexcept {
    FileDescriptor fd{
        openat(directory_.get(), name,
               O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)};
    struct stat status;
    if (!fd || fstat(fd.get(), &status) != 0) {
        return reached_.error(Rule::readable, errno);
    }
    if (!S_ISREG(status.st_mode)) {
        return reached_.error(Rule::regular_file);
    }
    file_ = std::move(fd);
    return std::nullopt;
}

}  // namespace

bool RealPath::push(std::string_view name) noexcept {
    if (size_ + 1 + name.size() > sizeof(text_)) {
        return false;
    }
    text_[size_++] = '/';
    std::copy(name.begin(), name.end(), text_ + size_);
    size_ += name.size();
    return true;
}

void RealPath::pop() noexcept {
    size_ = std::min(std::string_view{text_, size_}.rfind('/'), size_);
}

SecretFileError RealPath::error(SecretFileError::Rule rule,
                                int error_number) const noexcept {
    std::string_view path = size_ == 0 ? "/" : std::string_view{text_, size_};
    return secret_file_error(rule, error_number, path);
}

Result<TrustedFile, SecretFileError> open_trusted_file(
    const char *path, uid_t starting_user) noexcept {
    return Walk{starting_user}.open(path);
}

}  // namespace keystile
