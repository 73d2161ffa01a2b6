#include "ngx_http_keystile_process.hpp"

#include <openssl/rand.h>
#include <pthread.h>

#include <optional>

#include "ngx_http_keystile_conf.hpp"

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

bool lock_all(const MainConf &conf) noexcept {
    bool all = true;
    for (auto *credential :
         ngx::elements<Credential *>(&conf.credentials)) {
        all = credential->secret->lock_again() && all;
    }
    return all;
}

// A child does not inherit mlock(2). Here it is still what the master is,
// mostly root, and so not bound by RLIMIT_MEMLOCK; when nginx daemonises, the
// new master passes here as well.
void lock_in_child() noexcept {
    if (current != nullptr) {
        locked = lock_all(*current);
    }
}

}  // namespace

ngx_int_t init_module(ngx_cycle_t *cycle) noexcept {
    current = static_cast<MainConf *>(
        ngx_http_cycle_get_module_main_conf(cycle, ngx_http_keystile_module));
    if (current == nullptr || current->credentials.nelts == 0) {
        current = nullptr;
        return NGX_OK;
    }

    if (!fork_hook_set) {
        int error = pthread_atfork(nullptr, nullptr, lock_in_child);
        if (error != 0) {
            ngx_log_error(NGX_LOG_EMERG, cycle->log, error,
                          "pthread_atfork() failed");
            return NGX_ERROR;
        }
        fork_hook_set = true;
    }
    return NGX_OK;
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

    if (!locked) {
        ngx_log_error(NGX_LOG_ALERT, cycle->log, 0,
                      "keystile: a credential could not be locked in the "
                      "memory of this process; raise the limit of locked "
                      "memory (ulimit -l, LimitMEMLOCK=)");
    }
    return NGX_OK;
}

void exit_process(ngx_cycle_t *) noexcept { sha256.reset(); }

Sha256 &process_sha256() noexcept { return *sha256; }

RequestIds &process_request_ids() noexcept { return request_ids; }

bool credentials_locked() noexcept { return locked; }

}  // namespace keystile
