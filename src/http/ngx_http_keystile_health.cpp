#include "ngx_http_keystile_health.hpp"

#include "core/status_json.hpp"
#include "ngx_http_keystile_expiry.hpp"
#include "ngx_http_keystile_process.hpp"
#include "ngx_http_keystile_report.hpp"

namespace keystile {

ngx_int_t handle_health(ngx_http_request_t *r) noexcept {
    ngx_int_t rc = accept_read(r);
    if (rc != NGX_OK) {
        return rc;
    }

    const auto &conf = *main_conf(r);
    bool ok = credentials_locked() && !any_expired(conf);
    ReplyText text{r->pool};
    JsonWriter json{text};
    json.begin_object();
    json.member("status", std::string_view{ok ? "ok" : "degraded"});
    auto expiring = report_expiries(r->pool, conf);
    if (!expiring.empty()) {
        write_credentials(expiring, json);
    }
    json.end_object();
    text.put("\n");
    return text.send(r, "application/json",
                     ok ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE);
}

}  // namespace keystile
