#include "ngx_http_keystile_process.hpp"

#include <openssl/rand.h>
#include <pthread.h>

#include <optional>

#include "core/process_hardening.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_expiry.hpp"
#include "ngx_http_keystile_record_writer.hpp"
#include "ngx_http_keystile_state.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {
namespace {

// Emptied by exit_process(), so that no destructor runs after OpenSSL's own.
constinit std::optional<Sha256> sha256;
constinit RequestIds request_ids{{}};

// The configuration whose credentials the next child inherits. The old one is
// still whole when a reload comes here, and is wiped right after.
constinit const MainConf *current = nullptr;
constinit bool fork_hook_set = false;
constinit bool locked = true;

constinit bool memory_named = false;
constinit int pin_error = 0;  // of the child that this process is

bool lock_all(const MainConf &conf) noexcept {
    bool all = true;
    for (auto *credential : ngx::elements<Credential *>(&conf.credentials)) {
        all = credential->secret->lock_again() && all;
    }
    return all;
}

// A child does not inherit mlock(2). Here it is still what the master is,
// mostly root, and so not bound by RLIMIT_MEMLOCK; when nginx daemonises, the
// new master passes here as well. It does inherit that it is not dumpable,
// and from here on nothing that nginx does in it can change that.
void secure_child() noexcept {
    if (current == nullptr) {
        return;
    }
    locked = lock_all(*current);
    if (current->harden) {
        pin_error = pin_not_dumpable();
    }
}

ngx_int_t set_fork_hook(ngx_cycle_t *cycle) noexcept {
    if (fork_hook_set) {
        return NGX_OK;
    }
    int error = pthread_atfork(nullptr, nullptr, secure_child);
    if (error != 0) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, error,
                      "pthread_atfork() failed");
        return NGX_ERROR;
    }
    fork_hook_set = true;
    return NGX_OK;
}

// Said once, by the process that goes on to serve.
void name_memory(ngx_cycle_t *cycle) noexcept {
    if (memory_named || ngx_test_config ||
        ngx_process == NGX_PROCESS_SIGNALLER) {
        return;
    }
    auto credentials = ngx::elements<Credential *>(&current->credentials);
    auto backing = ngx::str(credentials[0]->secret->backing());
    ngx_log_error(NGX_LOG_NOTICE, cycle->log, 0,
                  "keystile keeps credentials in %V", &backing);
    if (binds_lazily()) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "nginx binds functions at their first call, which can "
                      "leave parts of a credential on the stack of its "
                      "processes: link it with -Wl,-z,now, or start it with "
                      "LD_BIND_NOW=1 in the environment");
    }
    memory_named = true;
}

void warn_of_exposure(ngx_log_t *log) noexcept {
    ngx_log_error(NGX_LOG_WARN, log, 0,
                  "\"keystile_harden\" is off: every process of the workers' "
                  "user can read the credentials");
}

// The process that has read the credentials, and by inheritance its children.
void harden_master(ngx_cycle_t *cycle) noexcept {
    if (!current->harden) {
        allow_dumping();
        warn_of_exposure(cycle->log);
        return;
    }

    int error = forbid_dumping();
    error = error == 0 ? forbid_core_files() : error;
    error = error == 0 ? forbid_new_privileges() : error;
    if (error != 0) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, error,
                      "keystile could not harden this process");
    }
    auto *ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(cycle->conf_ctx, ngx_core_module));
    if (ccf->rlimit_core != NGX_CONF_UNSET) {
        ngx_log_error(NGX_LOG_WARN, cycle->log, 0,
                      "\"worker_rlimit_core\" has no effect: processes that "
                      "hold credentials leave no core files");
    }
}

// What nginx has done to the process since it was forked: worker_rlimit_core,
// and an attempt to be dumpable that pin_not_dumpable() has defeated.
void harden_worker(ngx_cycle_t *cycle) noexcept {
    int error = pin_error;
    for (int result : {forbid_dumping(), forbid_core_files()}) {
        error = error == 0 ? result : error;
    }
    if (error != 0) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, error,
                      "keystile could not harden this process: others of its "
                      "user may have had a chance to read its memory");
    }
}

MainConf *conf_of(ngx_cycle_t *cycle) noexcept {
    return static_cast<MainConf *>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_keystile_module));
}

constexpr ngx_msec_t kTendEvery = 5000;  // as README says
constinit ngx_event_t tend_event{};

void tend(ngx_event_t *ev) noexcept {
    auto &conf = *static_cast<MainConf *>(ev->data);
    watch_expiries(conf, ev->log);
    tend_zones(conf, ev->log);
    for (auto *zone : ngx::elements<Zone *>(&conf.zones)) {
        begin_save(*zone);
    }
    ngx_add_timer(ev, kTendEvery);
}

void begin_tending(ngx_cycle_t *cycle) noexcept {
    auto *conf = conf_of(cycle);
    // Those that tend to caches come and go, and leave without a word.
    bool serves =
        ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE;
    if (!serves || conf == nullptr ||
        (conf->zones.nelts == 0 && !any_expires(*conf))) {
        return;
    }
    watch_expiries(*conf, cycle->log);
    enter_zones(cycle, *conf);
    tend_event.handler = tend;
    tend_event.data = conf;
    tend_event.log = cycle->log;
    tend_event.cancelable = 1;
    ngx_add_timer(&tend_event, kTendEvery);
}

}  // namespace

ngx_int_t init_module(ngx_cycle_t *cycle) noexcept {
    auto *conf = conf_of(cycle);
    if (conf != nullptr) {
        give_record_files(cycle, *conf);
    }
    take_over_zones(conf);
    current = static_cast<MainConf *>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_keystile_module));
    if (current == nullptr || current->credentials.nelts == 0 ||
        ngx_process == NGX_PROCESS_SIGNALLER) {
        current = nullptr;
        return NGX_OK;
    }
    if (ngx_test_config) {
        // Where faults of the configuration go, whatever level its own log has.
        if (!current->harden) {
            warn_of_exposure(cycle->old_cycle->log);
        }
        return NGX_OK;
    }
    name_memory(cycle);
    harden_master(cycle);
    return set_fork_hook(cycle);
}

ngx_int_t init_process(ngx_cycle_t *cycle) noexcept {
    sha256 = Sha256::create();
    if (!sha256) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "keystile: OpenSSL offers no SHA-256");
        return NGX_ERROR;
    }
    std::array<std::uint64_t, 2> seed;
    if (RAND_bytes(reinterpret_cast<unsigned char *>(seed.data()),
                   sizeof(seed)) != 1) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0,
                      "keystile: OpenSSL offers no random numbers");
        return NGX_ERROR;
    }
    request_ids = RequestIds{seed};

    if (current != nullptr && current->harden) {
        harden_worker(cycle);
    }
    begin_tending(cycle);
    if (auto *conf = conf_of(cycle)) {
        start_record_writer(cycle, *conf);
    }
    if (!locked) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "keystile: a credential could not be locked in the "
                      "memory of this process; raise the limit of locked "
                      "memory (ulimit -l, LimitMEMLOCK=)");
    }
    return NGX_OK;
}

void exit_process(ngx_cycle_t *cycle) noexcept {
    Exchange::settle_all();
    // The records are last, since they may take longer than the master waits.
    if (auto *conf = conf_of(cycle)) {
        leave_zones(*conf);
    }
    stop_record_writer(cycle);
    sha256.reset();
}

Sha256 &process_sha256() noexcept { return *sha256; }

RequestIds &process_request_ids() noexcept { return request_ids; }

bool credentials_locked() noexcept { return locked; }

}  // namespace keystile
