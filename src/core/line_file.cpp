#include "line_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace keystile {

int LineFile::open(const char *path) noexcept {
    FileDescriptor file{
        ::open(path, O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat status;
    if (!file || fstat(file.get(), &status) != 0) {
        return errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return EINVAL;
    }
    file_ = std::move(file);
    return 0;
}

RecordLoss LineFile::append(std::string_view line,
                            std::uint64_t most) noexcept {
    int rc;
    do {
        rc = flock(file_.get(), LOCK_EX);
    } while (rc != 0 && errno == EINTR);
    if (rc != 0) {
        error_ = errno;
        return RecordLoss::write_error;
    }
    auto loss = append_locked(line, most);
    flock(file_.get(), LOCK_UN);
    return loss;
}

// Whether the last line has no end: who wrote it was killed.
bool LineFile::is_torn(std::uint64_t size) const noexcept {
    char last;
    return size != 0 &&
           pread(file_.get(), &last, 1, static_cast<off_t>(size - 1)) == 1 &&
           last != '\n';
}

// What was written of a line for which there is no room is taken back: with
// the lock, it is the end of the file.
RecordLoss LineFile::append_locked(std::string_view line,
                                   std::uint64_t most) noexcept {
    struct stat status;
    if (fstat(file_.get(), &status) != 0) {
        error_ = errno;
        return RecordLoss::write_error;
    }
    auto size = static_cast<std::uint64_t>(status.st_size);
    std::string_view end_of_torn = is_torn(size) ? "\n" : "";
    auto more = end_of_torn.size() + line.size();
    if (most != 0 && (size > most || more > most - size)) {
        error_ = 0;
        return RecordLoss::file_full;
    }
    for (auto part : {end_of_torn, line}) {
        while (!part.empty()) {
            auto n = write(file_.get(), part.data(), part.size());
            if (n < 0 && errno == EINTR) {
                continue;
            }
            if (n <= 0) {
                error_ = n == 0 ? EIO : errno;
                bool undone = ftruncate(file_.get(), status.st_size) == 0;
                bool full = error_ == ENOSPC || error_ == EDQUOT;
                return full && undone ? RecordLoss::disk_full
                                      : RecordLoss::write_error;
            }
            part.remove_prefix(static_cast<std::size_t>(n));
        }
    }
    return RecordLoss::none;
}

}  // namespace keystile
