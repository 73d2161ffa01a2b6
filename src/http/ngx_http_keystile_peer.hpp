// The connection to the provider, at the moment something is sent on it.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// u->output.output_filter: data is the request. Before the first byte of each
// try it makes sure that a connection out of the keepalive cache is one that
// this location would have made; NGX_ERROR if not, and nginx tries another.
// Follows ngx_chain_writer().
ngx_int_t send_upstream(void *data, ngx_chain_t *in) noexcept;

}  // namespace keystile
