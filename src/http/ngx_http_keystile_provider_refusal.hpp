// Replies that refuse our credential. The client did not send it, cannot mend
// it, and must not see the parts of it that such replies repeat.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

class Exchange;

// Called once the head of a reply is complete. Passes the reply on, or puts
// one of ours in its place: 503 upstream_credential_rejected for a 401, and
// for a 403 or 400 whose body blames the credential, and 403 upstream_forbidden
// for any other 403, with the provider's name for the error. To tell, the body
// of a 403 is awaited, as far as it fits into keystile_buffer_size. Returns as
// process_header does.
ngx_int_t judge_reply(ngx_http_request_t *r, Exchange &exchange) noexcept;

}  // namespace keystile
