// What goes upstream.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// ngx_http_upstream_t callbacks.

// Makes u->request_bufs: one buffer with the request line and the headers
// that may pass, the credential's line in locked memory, the empty line, and
// the body as nginx holds it. Requires an admitted request.
ngx_int_t create_request(ngx_http_request_t *r) noexcept;

// Before each further try: forgets what the last one answered.
ngx_int_t reinit_request(ngx_http_request_t *r) noexcept;

}  // namespace keystile
