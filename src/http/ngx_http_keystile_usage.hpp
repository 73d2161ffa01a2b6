// keystile_usage: what the caller has used, for the caller.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// Content handler. GET and HEAD only; a key is always required.
ngx_int_t handle_usage(ngx_http_request_t *r) noexcept;

}  // namespace keystile
