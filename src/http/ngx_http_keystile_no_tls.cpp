// In place of the TLS files (see config) where nginx has no http_ssl_module.

#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_tls.hpp"

namespace keystile {

ngx_int_t set_up_tls(ngx_conf_t *cf, LocConf &conf) noexcept {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"keystile_pass %V\": \"https://\" needs nginx and "
                  "keystile to be built with --with-http_ssl_module in %s:%ui",
                  &conf.destination->url, conf.file_name, conf.line);
    return NGX_ERROR;
}

bool is_verified_here(ngx_http_request_t *,
                      const ngx_connection_t *) noexcept {
    return false;
}

void forget_decrypted_requests(ngx_conf_t *) noexcept {}

void wipe_tls_buffer(ngx_connection_t *) noexcept {}

bool forget_tls_buffer_at_close(ngx_connection_t *) noexcept { return true; }

}  // namespace keystile
