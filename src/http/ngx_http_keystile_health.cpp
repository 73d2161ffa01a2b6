#include "ngx_http_keystile_health.hpp"

#include "ngx_http_keystile_process.hpp"

namespace keystile {

using namespace ngx::literals;

ngx_int_t handle_health(ngx_http_request_t *r) noexcept {
    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    bool ok = credentials_locked();
    ngx_http_complex_value_t body{};
    body.value =
        ok ? "{\"status\":\"ok\"}\n"_ngx : "{\"status\":\"degraded\"}\n"_ngx;
    ngx_str_t type = "application/json"_ngx;
    return ngx_http_send_response(
        r, ok ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE, &type, &body);
}

}  // namespace keystile
