// A request body that goes up while it is still coming in, and whose length
// nobody knows yet: keystile_request_buffering off and a chunked request.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// Chunked framing (RFC 9112 section 7.1) for what nginx has unframed. Part of
// an exchange.
struct Upload {
    bool chunked = false;    // set before the body is read
    bool streaming = false;  // the body goes up as it comes, chunked or not
    bool started = false;
    ngx_chain_t *free = nullptr;  // buffers of size lines
    ngx_chain_t *busy = nullptr;
};

// postconfiguration: puts the filter in front of nginx's, which saves a body.
ngx_int_t install_upload_filter(ngx_conf_t *cf) noexcept;

}  // namespace keystile
