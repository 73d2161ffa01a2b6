#include "ngx_http_keystile_usage.hpp"

#include "core/usage_json.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_report.hpp"

namespace keystile {

ngx_int_t handle_usage(ngx_http_request_t *r) noexcept {
    if (r != r->main) {
        return NGX_HTTP_FORBIDDEN;
    }
    auto *exchange = Exchange::of(r);
    if (exchange == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    auto &conf = *loc_conf(r);
    const auto &decision = exchange->decide(*conf.route);
    if (!decision) {
        return static_cast<ngx_int_t>(
            describe(decision.error().denial).status);
    }
    ngx_int_t rc = accept_read(r);
    if (rc != NGX_OK) {
        return rc;
    }

    const auto &identity = decision->identity();
    auto *ledger = find_ledger(*conf.shown, identity.set, identity.client,
                               r->connection->log);
    ClientReport report{};
    if (ledger != nullptr &&
        !report_client(r->pool, *conf.shown, *ledger->record, report)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    if (ngx::add_header(r->headers_out.headers, "Cache-Control",
                        "cache-control", "no-store") == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ReplyText text{r->pool};
    write_usage_json(report, text);
    return text.send(r, "application/json");
}

}  // namespace keystile
