#include "ngx_http_keystile_state_files.hpp"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "core/directory_mode.hpp"
#include "core/state_file.hpp"
#include "core/state_generation.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {

namespace {

constexpr std::size_t kLargestState = std::size_t{1} << 30;

constexpr std::string_view kSecond = ".2";

struct Names {
    std::array<ngx_str_t, 2> files;
};

// The two names; data of the second is null when out of memory.
Names names_of(const Zone &zone) noexcept {
    auto size = zone.state_file.len + kSecond.size();
    auto *second = static_cast<u_char *>(ngx_pnalloc(zone.pool, size + 1));
    if (second != nullptr) {
        *ngx_sprintf(second, "%V.2", &zone.state_file) = '\0';
    }
    return {{zone.state_file, {size, second}}};
}

// The path of the directory that a file is in, with a zero after it.
struct Directory {
    explicit Directory(const ngx_str_t &name) noexcept {
        auto path = ngx::view(name);
        auto part = path.substr(0, path.rfind('/') + 1);
        known = !part.empty() && part.size() < text.size();
        if (known) {
            *std::copy(part.begin(), part.end(), text.begin()) = '\0';
        }
    }
    std::array<char, NGX_MAX_PATH> text;
    bool known;
};

// Says that the file could be made, where it is not there and this process
// is not to make it.
bool could_make(const ngx_str_t &name) noexcept {
    Directory directory{name};
    return directory.known && access(directory.text.data(), W_OK) == 0;
}

// Whoever can replace a state can give budgets back that are used up.
void warn_of_directory(ngx_conf_t *cf, const ngx_str_t &name) noexcept {
    Directory directory{name};
    struct stat status;
    if (ngx_process != NGX_PROCESS_SIGNALLER && directory.known &&
        stat(directory.text.data(), &status) == 0 &&
        others_may_replace(status.st_mode)) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "others than the owner may write to the directory "
                           "of state file \"%V\"",
                           &name);
    }
}

ngx_int_t open_file(ngx_conf_t *cf, const ngx_str_t &name,
                    ngx_fd_t &fd) noexcept {
    bool serves = !ngx_test_config && ngx_process != NGX_PROCESS_SIGNALLER;
    int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (serves ? O_CREAT : 0);
    fd = open(reinterpret_cast<char *>(name.data), flags, 0600);
    if (fd == NGX_INVALID_FILE) {
        auto error = ngx_errno;
        if (!serves && error == NGX_ENOENT && could_make(name)) {
            return NGX_OK;
        }
        ngx_conf_log_error(NGX_LOG_EMERG, cf, error,
                           "cannot open state file \"%V\" for writing", &name);
        return NGX_ERROR;
    }
    ngx_file_info_t info;
    auto *cln =
        ngx_pool_cleanup_add(cf->pool, sizeof(ngx_pool_cleanup_file_t));
    if (cln == nullptr || ngx_fd_info(fd, &info) == NGX_FILE_ERROR ||
        !ngx_is_file(&info)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "state file \"%V\" must be a regular file", &name);
        ngx_close_file(fd);
        return NGX_ERROR;
    }
    cln->handler = ngx_pool_cleanup_file;
    auto *file = static_cast<ngx_pool_cleanup_file_t *>(cln->data);
    *file = {.fd = fd, .name = name.data, .log = &cf->cycle->new_log};
    return NGX_OK;
}

// The whole of a file; data is null when that failed, which is logged. One
// that becomes shorter meanwhile, as a worker may write it, ends there.
ngx_str_t read_file(ngx_fd_t fd, ngx_str_t name, ngx_log_t *log) noexcept {
    ngx_file_info_t info;
    if (ngx_fd_info(fd, &info) == NGX_FILE_ERROR ||
        static_cast<std::size_t>(ngx_file_size(&info)) > kLargestState) {
        ngx_log_error(NGX_LOG_ERR, log, 0, "state file \"%V\" is too large",
                      &name);
        return ngx_null_string;
    }
    auto size = static_cast<std::size_t>(ngx_file_size(&info));
    auto *data = static_cast<u_char *>(ngx_alloc(size + 1, log));
    std::size_t done = 0;
    while (data != nullptr && done < size) {
        auto n = pread(fd, data + done, size - done, static_cast<off_t>(done));
        if (n == 0) {
            break;
        }
        if (n < 0) {
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "cannot read state file \"%V\"", &name);
            ngx_free(data);
            return ngx_null_string;
        }
        done += static_cast<std::size_t>(n);
    }
    return {done, data};
}

// A path whose folder has no other name; empty where there is none.
struct RealPath {
    explicit RealPath(const ngx_str_t &path) noexcept {
        auto whole = ngx::view(path);
        auto slash = whole.rfind('/');
        std::array<char, PATH_MAX> folder;
        if (slash == std::string_view::npos || slash + 2 > folder.size()) {
            return;
        }
        auto *end = std::copy_n(whole.begin(), slash + 1, folder.begin());
        *end = '\0';
        auto file = whole.substr(slash);
        if (realpath(folder.data(), text.data()) == nullptr ||
            std::strlen(text.data()) + file.size() > text.size()) {
            return;
        }
        end = std::copy(file.begin(), file.end(),
                        text.begin() + std::strlen(text.data()));
        size = static_cast<std::size_t>(end - text.begin());
    }

    std::string_view view() const noexcept { return {text.data(), size}; }

    std::array<char, PATH_MAX> text;
    std::size_t size = 0;
};

// Whether a file of the second has the name of one of the first's.
bool is_named_after(std::string_view name, std::string_view other) noexcept {
    return !name.empty() && other.starts_with(name) &&
           (other.size() == name.size() ||
            other.substr(name.size()) == kSecond);
}

bool is_same_file(ngx_fd_t a, ngx_fd_t b) noexcept {
    ngx_file_info_t first;
    ngx_file_info_t second;
    return a != NGX_INVALID_FILE && b != NGX_INVALID_FILE &&
           ngx_fd_info(a, &first) != NGX_FILE_ERROR &&
           ngx_fd_info(b, &second) != NGX_FILE_ERROR &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}

}  // namespace

bool has_files(const Zone &zone) noexcept {
    return zone.state_file.data != nullptr &&
           zone.state_fds[0] != NGX_INVALID_FILE &&
           zone.state_fds[1] != NGX_INVALID_FILE;
}

ngx_int_t open_state(ngx_conf_t *cf, Zone &zone) noexcept {
    auto names = names_of(zone);
    if (names.files[1].data == nullptr) {
        return NGX_ERROR;
    }
    for (std::size_t i = 0; i < 2; i++) {
        if (open_file(cf, names.files[i], zone.state_fds[i]) != NGX_OK) {
            return NGX_ERROR;
        }
    }
    warn_of_directory(cf, zone.state_file);
    return NGX_OK;
}

bool shares_state(const Zone &a, const Zone &b) noexcept {
    RealPath first_name{a.state_file};
    RealPath second_name{b.state_file};
    if (is_named_after(first_name.view(), second_name.view()) ||
        is_named_after(second_name.view(), first_name.view())) {
        return true;
    }
    for (auto first : a.state_fds) {
        for (auto second : b.state_fds) {
            if (is_same_file(first, second)) {
                return true;
            }
        }
    }
    return false;
}

bool has_same_files(const Zone &a, const Zone &b) noexcept {
    if (!has_files(a) || !has_files(b)) {
        return has_files(a) == has_files(b);
    }
    return is_same_file(a.state_fds[0], b.state_fds[0]) &&
           is_same_file(a.state_fds[1], b.state_fds[1]);
}

StateTexts::StateTexts(const Zone &zone, ngx_log_t *log) noexcept
    : names_{names_of(zone).files}, texts_{} {
    for (std::size_t i = 0; named() && i < texts_.size(); i++) {
        texts_[i] = read_file(zone.state_fds[i], names_[i], log);
    }
}

StateTexts::~StateTexts() {
    for (auto &text : texts_) {
        ngx_free(text.data);
    }
}

// None is less than any.
std::size_t StateTexts::newer() const noexcept {
    auto age = [this](std::size_t i) {
        return peek_generation(ngx::view(texts_[i]));
    };
    return age(1) > age(0) ? 1 : 0;
}

bool StateTexts::is_whole(std::size_t i) const noexcept {
    return peek_generation(ngx::view(texts_[i])).has_value();
}

bool StateTexts::is_ours(std::size_t i) const noexcept {
    return texts_[i].data != nullptr &&
           (texts_[i].len == 0 ||
            ngx::view(texts_[i]).starts_with("keystile-state 1 "));
}

std::uint64_t StateTexts::highest() const noexcept {
    auto head = [this](std::size_t i) {
        return peek_head(ngx::view(texts_[i])).value_or(0);
    };
    return ngx_max(head(0), head(1));
}

std::uint64_t highest_head(const Zone &zone) noexcept {
    std::uint64_t highest = 0;
    for (auto fd : zone.state_fds) {
        std::array<char, kLongestHead> head;
        auto size = pread(fd, head.data(), head.size(), 0);
        if (size > 0) {
            auto here =
                peek_head({head.data(), static_cast<std::size_t>(size)});
            highest = ngx_max(highest, here.value_or(0));
        }
    }
    return highest;
}

std::uint64_t own_generation(const MeterZone &meter) noexcept {
    auto begun = meter.begun_generation.load();
    return ngx_max(begun, meter.save_generation.load());
}

bool is_gone(ngx_fd_t fd) noexcept {
    ngx_file_info_t info;
    return ngx_fd_info(fd, &info) != NGX_FILE_ERROR && info.st_nlink == 0;
}

}  // namespace keystile
