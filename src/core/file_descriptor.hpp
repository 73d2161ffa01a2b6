// FileDescriptor: a descriptor that closes itself.

#pragma once

#include <unistd.h>

#include <utility>

namespace keystile {

class FileDescriptor {
public:
    // Takes ownership; a negative number stands for none.
    explicit FileDescriptor(int fd) noexcept : fd_{fd} {}

    FileDescriptor(FileDescriptor &&other) noexcept
        : fd_{std::exchange(other.fd_, -1)} {}
    FileDescriptor &operator=(FileDescriptor &&other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    FileDescriptor(const FileDescriptor &) = delete;
    FileDescriptor &operator=(const FileDescriptor &) = delete;
    ~FileDescriptor() {
        if (fd_ >= 0) {
            close(fd_);
        }
    }

    explicit operator bool() const noexcept { return fd_ >= 0; }
    [[nodiscard]] int get() const noexcept { return fd_; }

    // Gives the ownership away.
    [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

private:
    int fd_;
};

}  // namespace keystile
