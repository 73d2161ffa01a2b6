// What a request would leave behind in a worker's memory: the client's key,
// in buffers that nginx frees or uses again without clearing them.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// Zeroes the head of a request that is over: the values of its credential
// headers, and for HTTP/1.x everything that nginx has read of it, partial
// copies of lines in outgrown buffers included. What of a next request is
// there already is kept.
void forget_request_head(
    ngx_http_request_t *r,
    std::span<const std::string_view> key_headers) noexcept;

// Makes OpenSSL zero what it has decrypted once nginx has read it, on the
// listeners of the server that is being merged.
void forget_decrypted_requests(ngx_conf_t *cf) noexcept;

// Makes sure that what is left of a request in the TLS buffer of an upstream
// connection is zeroed when the connection goes. False when out of memory.
bool forget_tls_buffer_at_close(ngx_connection_t *c) noexcept;

}  // namespace keystile
