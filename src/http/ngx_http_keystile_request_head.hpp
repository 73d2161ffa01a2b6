// The head of the request that goes upstream, but for the credential's line.

#pragma once

#include "ngx/nginx.hpp"

#include "core/admission.hpp"

namespace keystile {

class Exchange;

// The request line and every header that goes up, ended by CRLF, in a buffer
// from the request's pool: what follows is the credential's line and an empty
// one. Null when out of memory, or when a value of keystile_set_header would
// break the head, which is logged.
ngx_buf_t *make_request_head(ngx_http_request_t *r, Exchange &exchange,
                             const Permit &permit) noexcept;

}  // namespace keystile
