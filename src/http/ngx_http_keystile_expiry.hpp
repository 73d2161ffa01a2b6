// Credentials that expire: saying so before they do.

#pragma once

#include "ngx/nginx.hpp"

#include "ngx_http_keystile_conf.hpp"

namespace keystile {

// Whether there is one of which it is known when it does.
bool any_expires(const MainConf &conf) noexcept;

// Logs it once when a credential has only little time left (time_left.hpp),
// and once when it has none. Of all processes one does: the first worker.
// To be called when a process starts, and then every few seconds.
void watch_expiries(const MainConf &conf, ngx_log_t *log) noexcept;

}  // namespace keystile
