#include "ngx_http_keystile_expiry.hpp"

#include "core/time_left.hpp"
#include "core/timestamp.hpp"

namespace keystile {
namespace {

// When this process last looked; 0: not yet.
constinit std::int64_t last_look = 0;

void log_expiry(const Credential &credential, TimeLeft left,
                ngx_log_t *log) noexcept {
    TimestampText time{credential.expires};
    auto text = ngx::str(time.view());
    if (left == TimeLeft::none) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "credential \"%V\" has expired at %V; it is sent all "
                      "the same, until a reload reads a new one",
                      &credential.name, &text);
    } else {
        ngx_log_error(NGX_LOG_WARN, log, 0,
                      "credential \"%V\" expires at %V, in less than an hour, "
                      "and no reload has read a new one",
                      &credential.name, &text);
    }
}

bool speaks_for_all() noexcept {
    return ngx_worker == 0 && !ngx_exiting &&
           (ngx_process == NGX_PROCESS_WORKER ||
            ngx_process == NGX_PROCESS_SINGLE);
}

}  // namespace

bool any_expires(const MainConf &conf) noexcept {
    for (const auto *credential :
         ngx::elements<Credential *>(&conf.credentials)) {
        if (credential->expires != 0) {
            return true;
        }
    }
    return false;
}

// What was little at the start has been said when the configuration was read;
// what was nothing is worth saying again, at a level that is heard.
void watch_expiries(const MainConf &conf, ngx_log_t *log) noexcept {
    if (!speaks_for_all()) {
        return;
    }
    std::int64_t now = ngx_time();
    for (const auto *credential :
         ngx::elements<Credential *>(&conf.credentials)) {
        auto left = time_left(credential->expires, now);
        auto before = last_look != 0
                          ? time_left(credential->expires, last_look)
                          : TimeLeft::little;
        if (left > before) {
            log_expiry(*credential, left, log);
        }
    }
    last_look = now;
}

}  // namespace keystile
