// Credentials that expire: saying so before they do, and whoever asks.

#pragma once

#include "ngx/nginx.hpp"

#include "core/meter_report.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {

// Whether there is one of which it is known when it does.
bool any_expires(const MainConf &conf) noexcept;

// Whether one has expired by now.
bool any_expired(const MainConf &conf) noexcept;

// Those of which it is known, in the order of the configuration; none when
// out of memory.
std::span<const CredentialReport> report_expiries(
    ngx_pool_t *pool, const MainConf &conf) noexcept;

// Logs it once when a credential has only little time left (time_left.hpp),
// and once when it has none. Of all processes one does: the first worker.
// To be called when a process starts, and then every few seconds.
void watch_expiries(const MainConf &conf, ngx_log_t *log) noexcept;

}  // namespace keystile
