// What a request would leave behind in a worker's memory: the client's key,
// in buffers that nginx frees or uses again without clearing them.

#pragma once

#include "ngx/nginx.hpp"

#include "core/header_names.hpp"

namespace keystile {

// Zeroes the head of a request that is over: the values of its credential
// headers, and for HTTP/1.x everything that nginx has read of it, partial
// copies of lines in outgrown buffers included. What of a next request is
// there already is kept. `pool` is the request's: nginx takes r->pool away
// before the cleanups of the pool run. Behind `head_end`, if that is in
// r->header_in, is at most the body, which is left as it is.
void forget_request_head(ngx_http_request_t *r, const ngx_pool_t *pool,
                         u_char *head_end,
                         std::span<const std::string_view> key_headers,
                         const HeaderNames &special) noexcept;

// Zeroes what a provider's reply has left in the worker, which may repeat the
// credential: the buffer that it is read into, and the copies of its status
// line and headers.
void forget_reply(ngx_http_upstream_t *u) noexcept;

}  // namespace keystile
