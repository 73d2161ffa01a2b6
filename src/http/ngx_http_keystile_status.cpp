#include "ngx_http_keystile_status.hpp"

#include "core/status_json.hpp"
#include "core/status_page.hpp"
#include "core/status_prometheus.hpp"
#include "ngx_http_keystile_report.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

ngx_int_t give(ngx_http_request_t *r, std::string_view name,
               std::string_view lowcase, std::string_view value) noexcept {
    return ngx::add_header(r->headers_out.headers, name, lowcase, value) ==
                   nullptr
               ? NGX_ERROR
               : NGX_OK;
}

ngx_int_t send_page(ngx_http_request_t *r, const ZoneReport &report,
                    ReplyText &text) noexcept {
    write_status_page(report, text);
    if (give(r, "Content-Security-Policy", "content-security-policy",
             kStatusPageCsp) != NGX_OK) {
        return NGX_ERROR;
    }
    return text.send(r, kStatusPageType);
}

}  // namespace

std::optional<StatusFormat> status_format(std::string_view name) noexcept {
    if (name == "prometheus") {
        return StatusFormat::prometheus;
    }
    if (name == "json") {
        return StatusFormat::json;
    }
    if (name == "html") {
        return StatusFormat::html;
    }
    return std::nullopt;
}

ngx_int_t handle_status(ngx_http_request_t *r) noexcept {
    ngx_int_t rc = accept_read(r);
    if (rc != NGX_OK) {
        return rc;
    }
    auto &conf = *loc_conf(r);
    auto format = conf.status_format;
    ngx_str_t name;
    ngx_str_t argument = "format"_ngx;
    if (ngx_http_arg(r, argument.data, argument.len, &name) == NGX_OK) {
        auto asked = status_format(ngx::view(name));
        if (!asked) {
            return NGX_HTTP_BAD_REQUEST;
        }
        format = *asked;
    }

    auto first = format == StatusFormat::prometheus ? ReportedFirst::oldest
                                                    : ReportedFirst::busiest;
    ZoneReport report{};
    ReplyText text{r->pool};
    report.credentials = report_credentials(r->pool, *main_conf(r));
    if (!report_zone(r->pool, *conf.shown, first, report) ||
        give(r, "Cache-Control", "cache-control", "no-store") != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    switch (format) {
    case StatusFormat::prometheus:
        write_prometheus(report, text);
        return text.send(r, kPrometheusType);
    case StatusFormat::json:
        write_status_json(report, text);
        return text.send(r, "application/json");
    case StatusFormat::html:
        return send_page(r, report, text);
    }
    return NGX_HTTP_INTERNAL_SERVER_ERROR;
}

}  // namespace keystile
