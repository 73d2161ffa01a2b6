// keystile_client_keys.

#include "ngx_http_keystile_directives.hpp"

#include "core/client_file.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

void *allocate_in_pool(void *pool, std::size_t bytes,
                       std::size_t alignment) noexcept {
    auto *p = static_cast<ngx_pool_t *>(pool);
    return alignment <= NGX_ALIGNMENT ? ngx_palloc(p, bytes)
                                      : ngx_pmemalign(p, bytes, alignment);
}

// The whole file, in memory that goes with the parse of the configuration.
// Data is null after an error, which is logged.
ngx_str_t read_text(ngx_conf_t *cf, ngx_str_t &name) noexcept {
    ngx_file_t file{};
    file.name = name;
    file.log = cf->log;
    file.fd = ngx_open_file(name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           "cannot open client keys \"%V\"", &name);
        return ngx_null_string;
    }

    ngx_str_t text = ngx_null_string;
    ngx_file_info_t info;
    if (ngx_fd_info(file.fd, &info) == NGX_FILE_ERROR || !ngx_is_file(&info) ||
        ngx_file_size(&info) > static_cast<off_t>(kMaxClientFileSize)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "client keys \"%V\" must be a regular file of "
                           "64 MB at most",
                           &name);
    } else {
        auto size = static_cast<std::size_t>(ngx_file_size(&info));
        text.data = static_cast<u_char *>(
            ngx_palloc(cf->temp_pool, size == 0 ? 1 : size));
        auto n = text.data == nullptr
                     ? NGX_ERROR
                     : ngx_read_file(&file, text.data, size, 0);
        text.len = n == NGX_ERROR ? 0 : static_cast<std::size_t>(n);
        if (n == NGX_ERROR) {
            text.data = nullptr;
        }
    }
    ngx_close_file(file.fd);
    return text;
}

}  // namespace

char *set_client_keys(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<MainConf *>(data);
    auto words = ngx::elements<ngx_str_t>(cf->args);
    auto name = ngx::view(words[1]);

    if (name == "any" || name == "placeholder") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"keystile_client_keys\": \"%V\" means something "
                           "else to \"keystile_admit\"; choose another name",
                           &words[1]);
        return ngx::conf_error();
    }
    for (auto *other : ngx::elements<ClientSet *>(&conf.client_sets)) {
        if (other->name == name) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"keystile_client_keys\": duplicate name "
                               "\"%V\"",
                               &words[1]);
            return ngx::conf_error();
        }
    }
    if (ngx_conf_full_name(cf->cycle, &words[2], 1) != NGX_OK) {
        return ngx::conf_error();
    }

    auto text = read_text(cf, words[2]);
    if (text.data == nullptr) {
        return ngx::conf_error();
    }
    auto keys = parse_client_file(ngx::view(text),
                                  Allocator{allocate_in_pool, cf->pool});
    if (!keys) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V:%d:%d: %s", &words[2],
                           keys.error().line, keys.error().column,
                           keys.error().message);
        return ngx::conf_error();
    }

    auto *set = ngx::make<ClientSet>(cf->pool, name, *keys);
    auto **slot = static_cast<ClientSet **>(ngx_array_push(&conf.client_sets));
    if (set == nullptr || slot == nullptr) {
        return ngx::conf_error();
    }
    *slot = set;
    return NGX_CONF_OK;
}

}  // namespace keystile
