// keystile_status: what a zone has counted, for those who run the server.

#pragma once

#include "ngx/nginx.hpp"

#include <optional>

#include "ngx_http_keystile_conf.hpp"

namespace keystile {

// "prometheus", "json" or "html".
std::optional<StatusFormat> status_format(std::string_view name) noexcept;

// Content handler. GET and HEAD only; the argument "format" overrides that of
// the directive.
ngx_int_t handle_status(ngx_http_request_t *r) noexcept;

}  // namespace keystile
