// $keystile_client, $keystile_decision, $keystile_key_header, $keystile_rule,
// $keystile_credential and $keystile_request_id. None ever holds a secret.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

// preconfiguration.
ngx_int_t add_variables(ngx_conf_t *cf) noexcept;

}  // namespace keystile
