// A file to which several processes append lines: none is ever mixed with
// another, torn, or left without its end.

#pragma once

#include <cstdint>
#include <string_view>

#include "file_descriptor.hpp"
#include "record.hpp"

namespace keystile {

class LineFile {
public:
    // Opens what is there, as an open file of its own: one that a process
    // shares with its parent would share its locks as well. Neither makes a
    // file nor follows a link. 0, or errno.
    [[nodiscard]] int open(const char *path) noexcept;

    bool is_open() const noexcept { return static_cast<bool>(file_); }

    // Appends a line, on a line of its own even where the last one was torn by
    // the end of whoever wrote it, unless the file would be larger than `most`
    // bytes; 0: there is no such bound. May block as long as a disk does, and
    // another who holds the lock of the file. Sets error() where there was one.
    RecordLoss append(std::string_view line, std::uint64_t most) noexcept;

    int error() const noexcept { return error_; }

private:
    RecordLoss append_locked(std::string_view line,
                             std::uint64_t most) noexcept;
    bool is_torn(std::uint64_t size) const noexcept;

    FileDescriptor file_{-1};
    int error_ = 0;
};

}  // namespace keystile
