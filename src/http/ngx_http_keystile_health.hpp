// keystile_health: whether this worker could serve.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// Content handler. 200 {"status":"ok"}; 503 {"status":"degraded"} when a
// credential is not in locked memory. GET and HEAD only.
ngx_int_t handle_health(ngx_http_request_t *r) noexcept;

}  // namespace keystile
