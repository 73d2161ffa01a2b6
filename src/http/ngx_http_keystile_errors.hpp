// Errors in JSON: our refusals, and nginx's own error pages, in a location
// with keystile_pass.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// postconfiguration: puts the header and body filters in front of nginx's.
ngx_int_t install_error_filters(ngx_conf_t *cf) noexcept;

}  // namespace keystile
