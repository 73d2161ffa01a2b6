// A request body that goes up while it is still coming in, and whose length
// nobody knows yet: keystile_request_buffering off and a chunked request.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// Chunked framing (RFC 9112 section 7.1) of what goes to the provider, put on
// when it is sent: the body that nginx holds stays as it is. Follows
// ngx_http_proxy_body_output_filter(). Part of an exchange.
struct Upload {
    bool chunked = false;                 // set by create_request()
    const ngx_buf_t *head_end = nullptr;  // the buffer before the body
    ngx_http_event_handler_pt waiting_reader = nullptr;  // r's, until it is
                                                         // begun to be sent

    // Of the present try.
    bool head_passed = false;
    bool started = false;
    ngx_chain_t *free = nullptr;  // links with buffers of size lines
    ngx_chain_t *busy = nullptr;

    // For another try of the same request.
    void restart() noexcept;
};

// ngx_chain_writer() with the framing: `in` is what there is to send of the
// request, head first, or null to go on with what is there.
ngx_int_t write_upload(ngx_http_request_t *r, Upload &upload,
                       ngx_chain_t *in) noexcept;

}  // namespace keystile
