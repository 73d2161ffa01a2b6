// keystile_record, as it is written, and the file that it names.

#include <fcntl.h>
#include <sys/stat.h>

#include "core/directory_mode.hpp"
#include "core/file_descriptor.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_directives.hpp"
#include "ngx_http_keystile_record.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

constexpr std::size_t kMost = 4 * 1024 * 1024;
constexpr std::size_t kLeast = 1024;
constexpr std::size_t kLargest = 64 * 1024 * 1024;
constexpr std::uint64_t kMostOfFile = 10ULL * 1024 * 1024 * 1024;

constexpr mode_t kMode = S_IRUSR | S_IWUSR;

// Nobody but the owner may write to what holds prompts, or to where it is, and
// not everyone may read it.
const char *fault_of_directory(const ngx_core_conf_t &core,
                               const struct stat &status) noexcept {
    bool is_root = geteuid() == 0;
    bool known = core.user != static_cast<ngx_uid_t>(NGX_CONF_UNSET_UINT);
    mode_t enters = status.st_uid == core.user    ? S_IXUSR
                    : status.st_gid == core.group ? S_IXGRP
                                                  : S_IXOTH;
    if (is_root && known && core.user != 0 && (status.st_mode & enters) == 0) {
        return "the workers' user may not enter its directory";
    }
    if (status.st_uid != 0 && status.st_uid != geteuid()) {
        return "its directory must belong to root or to the user that starts "
               "nginx";
    }
    return others_may_write(status.st_mode)
               ? "others than the owner may write to its directory"
               : nullptr;
}

const char *fault_of_file(const struct stat &status) noexcept {
    if (!S_ISREG(status.st_mode)) {
        return "it must be a regular file";
    }
    if (status.st_nlink != 1) {
        return "it must not have other names";
    }
    return (status.st_mode & (S_IWGRP | S_IRWXO)) != 0
               ? "its mode must be 0600, or 0640"
               : nullptr;
}

// Opens the file, which is made where it is not there. Everyone who can change
// the directory is trusted, so that nginx may open it by its name later.
const char *open_file(const ngx_core_conf_t &core, const char *path,
                      FileDescriptor &file) noexcept {
    std::array<char, NGX_MAX_PATH> directory{};
    std::string_view whole{path};
    auto slash = whole.rfind('/');
    if (slash == std::string_view::npos || slash + 2 > directory.size()) {
        return "its path is too long";
    }
    std::copy_n(path, slash + 1, directory.begin());
    FileDescriptor parent{
        open(directory.data(), O_PATH | O_DIRECTORY | O_CLOEXEC)};
    struct stat status;
    if (!parent || fstat(parent.get(), &status) != 0) {
        return "";
    }
    if (const char *fault = fault_of_directory(core, status)) {
        return fault;
    }
    file = FileDescriptor{openat(parent.get(), path + slash + 1,
                                 O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW |
                                     O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                                 kMode)};
    if (!file && errno == ELOOP) {
        return "it must be a regular file, and no link";
    }
    if (!file || fstat(file.get(), &status) != 0) {
        return "";
    }
    return fault_of_file(status);
}

// Of ngx_open_file_t: nginx is about to open the file by its name. The master
// does that before its workers, so that it is there for them.
void reopen(ngx_open_file_t *known, ngx_log_t *log) noexcept {
    auto &file = *static_cast<RecordFile *>(known->data);
    if (ngx_process != NGX_PROCESS_WORKER) {
        FileDescriptor made{
            open(reinterpret_cast<const char *>(file.name.data),
                 O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
                     O_NOCTTY | O_CLOEXEC,
                 kMode)};
        if (!made) {
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "keystile_record: \"%V\" cannot be opened",
                          &file.name);
        }
    }
    if (ngx_process == NGX_PROCESS_WORKER ||
        ngx_process == NGX_PROCESS_SINGLE) {
        reopen_record_file(file);
    }
}

bool keep_open(ngx_conf_t *cf, RecordFile &file,
               FileDescriptor &opened) noexcept {
    auto *cln =
        ngx_pool_cleanup_add(cf->pool, sizeof(ngx_pool_cleanup_file_t));
    if (cln == nullptr) {
        return false;
    }
    cln->handler = ngx_pool_cleanup_file;
    int fd = opened.release();
    *static_cast<ngx_pool_cleanup_file_t *>(cln->data) = {
        .fd = fd, .name = file.name.data, .log = &cf->cycle->new_log};
    file.fd = fd;
    return true;
}

// Makes nginx reopen it with its logs.
ngx_int_t take_file(ngx_conf_t *cf, RecordFile &file) noexcept {
    if (ngx_process == NGX_PROCESS_SIGNALLER) {
        return NGX_OK;
    }
    const auto &core = *reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(cf->cycle->conf_ctx, ngx_core_module));
    FileDescriptor opened{-1};
    const char *fault = open_file(
        core, reinterpret_cast<const char *>(file.name.data), opened);
    if (fault != nullptr) {
        auto error = *fault == '\0' ? ngx_errno : 0;
        ngx_conf_log_error(NGX_LOG_EMERG, cf, error,
                           "\"keystile_record\": cannot use \"%V\"%s%s",
                           &file.name, *fault == '\0' ? "" : ": ", fault);
        return NGX_ERROR;
    }
    auto *known = ngx_conf_open_file(cf->cycle, &file.name);
    if (known != nullptr && known->data != nullptr) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"keystile_record\": another directive writes to "
                           "\"%V\"",
                           &file.name);
        return NGX_ERROR;
    }
    if (known == nullptr || !keep_open(cf, file, opened)) {
        return NGX_ERROR;
    }
    known->flush = reopen;
    known->data = &file;
    return NGX_OK;
}

// The file of that name, which may be in use on another line.
RecordFile *find_file(ngx_conf_t *cf, const ngx_str_t &word,
                      std::uint64_t most) noexcept {
    auto &files = main_conf(cf)->record_files;
    auto name = word;
    if (ngx_conf_full_name(cf->cycle, &name, 0) != NGX_OK) {
        return nullptr;
    }
    for (auto *file : ngx::elements<RecordFile *>(&files)) {
        if (ngx::view(file->name) == ngx::view(name)) {
            if (file->most != most) {
                refuse(cf, word, "it has another \"file_max\" elsewhere");
                return nullptr;
            }
            return file;
        }
    }
    auto *file = ngx::make<RecordFile>(cf->pool);
    auto **slot = static_cast<RecordFile **>(ngx_array_push(&files));
    if (file == nullptr || slot == nullptr) {
        return nullptr;
    }
    *file = {
        .name = name, .most = most, .fd = NGX_INVALID_FILE, .sink = nullptr};
    *slot = file;
    return take_file(cf, *file) == NGX_OK ? file : nullptr;
}

struct Words {
    std::size_t most = kMost;
    std::uint64_t most_of_file = kMostOfFile;
    bool bodies = true;
    unsigned seen = 0;  // a bit for each
};

// False for a word that is none, or is there twice.
bool take_word(ngx_str_t &word, Words &words) noexcept {
    auto text = ngx::view(word);
    auto value_of = [&](std::string_view name, unsigned bit) {
        bool is_it = text.starts_with(name) && (words.seen & bit) == 0;
        words.seen |= is_it ? bit : 0;
        return is_it ? ngx::str(text.substr(name.size())) : ngx_str_t{};
    };
    if (auto value = value_of("max=", 1); value.data != nullptr) {
        auto size = ngx_parse_size(&value);
        words.most = static_cast<std::size_t>(size);
        return size >= static_cast<ssize_t>(kLeast) &&
               size <= static_cast<ssize_t>(kLargest);
    }
    if (auto value = value_of("file_max=", 2); value.data != nullptr) {
        auto size = ngx_parse_offset(&value);
        words.most_of_file = static_cast<std::uint64_t>(size);
        return size >= 0;
    }
    if (auto value = value_of("bodies=", 4); value.data != nullptr) {
        words.bodies = ngx::view(value) == "on";
        return words.bodies || ngx::view(value) == "off";
    }
    return false;
}

}  // namespace

char *set_record(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    auto args = ngx::elements<ngx_str_t>(cf->args);
    if (!ngx::is_unset(conf.record)) {
        return ngx::conf_message("is duplicate");
    }
    if (ngx::view(args[1]) == "off") {
        conf.record = nullptr;
        return args.size() == 2 ? NGX_CONF_OK
                                : refuse(cf, args[2], "\"off\" stands alone");
    }
    Words words;
    for (auto &word : args.subspan(2)) {
        if (!take_word(word, words)) {
            return refuse(cf, word,
                          "expected once each \"max=size\" from 1k to 64m, "
                          "\"file_max=size\" and \"bodies=on|off\"");
        }
    }
    auto *file = find_file(cf, args[1], words.most_of_file);
    conf.record = file == nullptr ? nullptr : ngx::make<RecordConf>(cf->pool);
    if (conf.record == nullptr) {
        return ngx::conf_error();
    }
    *conf.record = {.file = file, .most = words.most, .bodies = words.bodies};
    return NGX_CONF_OK;
}

}  // namespace keystile
