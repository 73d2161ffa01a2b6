#include "ngx_http_keystile_health.hpp"

#include "core/health_json.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_process.hpp"
#include "ngx_http_keystile_report.hpp"

namespace keystile {

// A provider that refuses a credential, or a token that has expired, is
// nothing that another process would do better: that is told, but with 200.
ngx_int_t handle_health(ngx_http_request_t *r) noexcept {
    ngx_int_t rc = accept_read(r);
    if (rc != NGX_OK) {
        return rc;
    }
    bool sound = credentials_locked();
    ReplyText text{r->pool};
    write_health(sound, report_credentials(r->pool, *main_conf(r)), ngx_time(),
                 text);
    return text.send(r, "application/json",
                     sound ? NGX_HTTP_OK : NGX_HTTP_SERVICE_UNAVAILABLE);
}

}  // namespace keystile
