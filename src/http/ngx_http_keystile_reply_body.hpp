// The body of the provider's reply: handed on as it comes, never gathered.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

class Exchange;

// Whether the reply has no body, whatever its headers say (RFC 9112 6.3).
bool has_no_body(ngx_http_request_t *r) noexcept;

// Takes a page for what keystile_buffer_size is the size of, and frees the
// large buffer: that is needed for the head of a reply, and a stream may then
// be open for long. `size` bytes of it, from u->buffer.last on, are kept, if
// they fit; nothing else of it may be in use. u->buffer is then empty, and
// those bytes are behind it, as they were.
void shrink_buffer(ngx_http_request_t *r, Exchange &exchange,
                   std::size_t size) noexcept;

// u->input_filter_init and u->input_filter; data is the request. They follow
// ngx_http_proxy_input_filter_init() and its non-buffered filters.
ngx_int_t init_body(void *data) noexcept;
ngx_int_t copy_body(void *data, ssize_t bytes) noexcept;

}  // namespace keystile
