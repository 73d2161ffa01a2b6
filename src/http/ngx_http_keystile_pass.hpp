// keystile_pass: the content handler and the gate before it.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// Content handler. It is here, and not in the access phase, that a request is
// admitted: "satisfy any" cannot overrule it.
ngx_int_t handle_pass(ngx_http_request_t *r) noexcept;

}  // namespace keystile
