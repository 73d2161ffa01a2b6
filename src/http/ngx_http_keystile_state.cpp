#include "ngx_http_keystile_state.hpp"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>

#include "core/state_file.hpp"
#include "ngx_http_keystile_state_text.hpp"
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

// Says that the file could be made, where it is not there and this process
// is not to make it.
bool could_make(const ngx_str_t &name) noexcept {
    auto path = ngx::view(name);
    auto folder = path.substr(0, path.rfind('/') + 1);
    std::array<char, NGX_MAX_PATH> text;
    if (folder.empty() || folder.size() >= text.size()) {
        return false;
    }
    *std::copy(folder.begin(), folder.end(), text.begin()) = '\0';
    return access(text.data(), W_OK) == 0;
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

bool is_ours(const ngx_str_t &text) noexcept {
    return ngx::view(text).starts_with("keystile-state 1 ");
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

void let_files_be(Zone &zone, ngx_log_t *log) noexcept {
    zone.state_fds = {NGX_INVALID_FILE, NGX_INVALID_FILE};
    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "the state of keystile zone \"%V\" is not saved: what is "
                  "in its file was not written by this version",
                  &zone.name);
}

struct Restored {
    bool done = false;
    bool foreign = false;
};

void restore_from(Zone &zone, const ngx_str_t &name, const ngx_str_t &text,
                  ngx_log_t *log, Restored &restored) noexcept {
    auto read = read_state(ngx::view(text), *zone.meter, ClientFilter{});
    if (!read) {
        auto why = ngx::str(describe(read.error().fault));
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "state file \"%V\" cannot be used: %V, line %uz", &name,
                      &why, read.error().line);
        restored.foreign =
            restored.foreign || read.error().fault != StateFault::torn;
        return;
    }
    restored.done = true;
    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "keystile zone \"%V\" goes on from state file \"%V\": %uz "
                  "clients",
                  &zone.name, &name, read->clients);
    if (read->without_room != 0) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "\"keystile_zone\" \"%V\" is too small for its state "
                      "file: %uz records are lost",
                      &zone.name, read->without_room);
    }
}

// A file that is not whole beside one that is: its last writing was cut off,
// or it is none of ours.
void note_broken(const ngx_str_t &name, const ngx_str_t &text, ngx_log_t *log,
                 Restored &restored) noexcept {
    bool ours = is_ours(text);
    restored.foreign = restored.foreign || !ours;
    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "state file \"%V\" is %s and not read; the other one is",
                  &name, ours ? "torn" : "not ours");
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

ngx_int_t take_files(Zone &zone, ngx_log_t *log) noexcept {
    if (!has_files(zone)) {
        return NGX_OK;
    }
    auto names = names_of(zone).files;
    if (names[1].data == nullptr) {
        return NGX_ERROR;
    }
    bool foreign = false;
    for (std::size_t i = 0; i < names.size(); i++) {
        auto text = read_file(zone.state_fds[i], names[i], log);
        foreign = foreign || text.data == nullptr ||
                  (text.len != 0 && !is_ours(text));
        auto &generation = zone.meter->save_generation;
        auto written = peek_generation(ngx::view(text)).value_or(0);
        if (written > generation.load()) {
            generation.store(written);
        }
        if (text.data != nullptr) {
            ngx_free(text.data);
        }
    }
    if (foreign) {
        let_files_be(zone, log);
    }
    return NGX_OK;
}

void copy_zone(const Zone &from, Zone &to, ngx_log_t *log) noexcept {
    MemoryText text{log};
    StateWriter writer;
    {
        ZoneLock lock{from};
        writer.begin(*from.meter, from.meter->save_generation.load(),
                     ngx_time(), text);
        while (writer.write_some(*from.meter, kStateClientsAtOnce, text)) {
        }
    }
    auto read = read_state(text.view(), *to.meter, ClientFilter{});
    bool whole = read && read->without_room == 0;
    if (whole) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "keystile zone \"%V\" goes on from what zone \"%V\" "
                      "had counted",
                      &to.name, &from.name);
    } else {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "keystile zone \"%V\" has no room for all that zone "
                      "\"%V\" had counted",
                      &to.name, &from.name);
    }
}

ngx_int_t restore_state(Zone &zone, ngx_log_t *log) noexcept {
    if (!has_files(zone)) {
        return NGX_OK;
    }
    auto names = names_of(zone).files;
    if (names[1].data == nullptr) {
        return NGX_ERROR;
    }
    std::array<ngx_str_t, 2> texts{
        read_file(zone.state_fds[0], names[0], log),
        read_file(zone.state_fds[1], names[1], log)};
    auto age = [&texts](std::size_t i) {
        return peek_generation(ngx::view(texts[i]));
    };
    std::size_t newer = age(1) > age(0) ? 1 : 0;  // none is less than any

    Restored restored;
    for (auto i : {newer, 1 - newer}) {
        if (texts[i].data == nullptr) {
            restored.foreign = true;
        } else if (texts[i].len != 0 && !restored.done) {
            restore_from(zone, names[i], texts[i], log, restored);
        } else if (texts[i].len != 0 && !age(i)) {
            note_broken(names[i], texts[i], log, restored);
        }
    }
    for (auto &text : texts) {
        if (text.data != nullptr) {
            ngx_free(text.data);
        }
    }
    if (restored.foreign) {
        let_files_be(zone, log);
    }
    return NGX_OK;
}

}  // namespace keystile
