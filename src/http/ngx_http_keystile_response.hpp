// What comes back: the head of the provider's reply.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// ngx_http_upstream_t callbacks.

// process_header: reads the status line and the headers, and goes on to
// pass_reply(), or to another reader of the head.
ngx_int_t process_status_line(ngx_http_request_t *r) noexcept;

// Ends the reading of a head: the reply goes to the client as it is.
ngx_int_t pass_reply(ngx_http_request_t *r) noexcept;

void abort_request(ngx_http_request_t *r) noexcept;
void finalize_request(ngx_http_request_t *r, ngx_int_t rc) noexcept;

}  // namespace keystile
