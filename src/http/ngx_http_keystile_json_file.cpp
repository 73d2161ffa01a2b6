#include "ngx_http_keystile_json_file.hpp"

namespace keystile {
namespace {

void *allocate_in_pool(void *pool, std::size_t bytes,
                       std::size_t alignment) noexcept {
    auto *p = static_cast<ngx_pool_t *>(pool);
    return alignment <= NGX_ALIGNMENT ? ngx_palloc(p, bytes)
                                      : ngx_pmemalign(p, bytes, alignment);
}

}  // namespace

Allocator allocator_of(ngx_pool_t *pool) noexcept {
    return {allocate_in_pool, pool};
}

ngx_str_t read_json_file(ngx_conf_t *cf, ngx_str_t &name,
                         std::size_t most) noexcept {
    ngx_file_t file{};
    file.name = name;
    file.log = cf->log;
    file.fd = ngx_open_file(name.data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);
    if (file.fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno, "cannot open \"%V\"",
                           &name);
        return ngx_null_string;
    }

    ngx_str_t text = ngx_null_string;
    ngx_file_info_t info;
    if (ngx_fd_info(file.fd, &info) == NGX_FILE_ERROR || !ngx_is_file(&info) ||
        ngx_file_size(&info) > static_cast<off_t>(most)) {
        ngx_conf_log_error(
            NGX_LOG_EMERG, cf, 0,
            "\"%V\" must be a regular file of %uz bytes at most", &name, most);
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

}  // namespace keystile
