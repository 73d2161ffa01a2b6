// Where the text of a state file goes.

#pragma once

#include "ngx/nginx.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>

#include "core/text_sink.hpp"

namespace keystile {

// Text on its way to a file, from its beginning on.
class FileText final : public TextSink {
public:
    explicit FileText(ngx_fd_t fd) noexcept : fd_{fd} {}

    void put(std::string_view text) noexcept override {
        while (!text.empty() && error_ == 0) {
            auto part = text.substr(0, buffer_.size() - size_);
            std::copy(part.begin(), part.end(), buffer_.begin() + size_);
            size_ += part.size();
            text.remove_prefix(part.size());
            if (size_ == buffer_.size()) {
                flush();
            }
        }
    }

    // Writes what is left, and cuts off what was there before; all of it is on
    // its way to the disk, well before the other file is written. 0, or the
    // errno of the first failure.
    int finish() noexcept {
        flush();
        if (error_ == 0 && ftruncate(fd_, offset_) == -1) {
            error_ = ngx_errno;
        }
#if (NGX_LINUX)
        if (error_ == 0) {
            sync_file_range(fd_, 0, 0, SYNC_FILE_RANGE_WRITE);
        }
#endif
        return error_;
    }

private:
    void flush() noexcept {
        for (std::size_t done = 0; done < size_ && error_ == 0;) {
            auto n = pwrite(fd_, buffer_.data() + done, size_ - done, offset_);
            if (n > 0) {
                done += static_cast<std::size_t>(n);
                offset_ += n;
            } else if (n == 0 || ngx_errno != NGX_EINTR) {
                error_ = n == 0 ? NGX_ENOSPC : ngx_errno;
            }
        }
        size_ = 0;
    }

    ngx_fd_t fd_;
    off_t offset_ = 0;
    int error_ = 0;
    std::size_t size_ = 0;
    std::array<char, 32768> buffer_;
};

// Text in memory of its own, as much as there is.
class MemoryText final : public TextSink {
public:
    explicit MemoryText(ngx_log_t *log) noexcept : log_{log} {}
    ~MemoryText() { ngx_free(data_); }
    MemoryText(const MemoryText &) = delete;
    MemoryText &operator=(const MemoryText &) = delete;

    void put(std::string_view text) noexcept override {
        if (text.size() > room_ - size_ && !grow(size_ + text.size())) {
            return;
        }
        ngx_memcpy(data_ + size_, text.data(), text.size());
        size_ += text.size();
    }

    std::string_view view() const noexcept {
        return ngx::view({size_, data_});
    }

private:
    bool grow(std::size_t least) noexcept {
        auto room = ngx_max(2 * least, 65536);
        auto *data = static_cast<u_char *>(ngx_alloc(room, log_));
        if (data == nullptr) {
            return false;  // the text will not be whole, and not be read
        }
        if (size_ != 0) {
            ngx_memcpy(data, data_, size_);
        }
        ngx_free(std::exchange(data_, data));
        room_ = room;
        return true;
    }

    ngx_log_t *log_;
    u_char *data_ = nullptr;
    std::size_t size_ = 0;
    std::size_t room_ = 0;
};

}  // namespace keystile
