// What comes back: the head and the body of the provider's reply.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// ngx_http_upstream_t callbacks.

// process_header: reads the status line and the headers, and goes on to
// pass_reply(), or to another reader of the head.
ngx_int_t process_status_line(ngx_http_request_t *r) noexcept;

// input_filter_init and input_filter: data is the request. The body is handed
// on as it comes, never gathered.
ngx_int_t init_body(void *data) noexcept;
ngx_int_t copy_body(void *data, ssize_t bytes) noexcept;

// Ends the reading of a head: the reply goes to the client as it is.
ngx_int_t pass_reply(ngx_http_request_t *r) noexcept;

void abort_request(ngx_http_request_t *r) noexcept;
void finalize_request(ngx_http_request_t *r, ngx_int_t rc) noexcept;

}  // namespace keystile
