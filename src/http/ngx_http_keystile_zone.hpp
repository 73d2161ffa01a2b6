// keystile_zone: the shared memory in which counters and limits are kept, and
// what a worker holds of it.

#pragma once

#include "ngx/nginx.hpp"

#include "core/admission.hpp"
#include "core/meter_zone.hpp"

namespace keystile {

struct MainConf;
struct StateSave;

// A client of some file, to be found by its names.
struct KnownClient {
    std::string_view set;
    const Client *client;
};

// A client in a zone, as this process knows it: found once, then used by
// every request. Null members are looked for again; the zone may be full.
struct Ledger {
    ClientRecord *record = nullptr;
    Presence *presence = nullptr;
    std::span<const Limit> limits;
    std::span<LimitState *> states;  // of the limits, one for one
};

// One keystile_zone. Of a cycle: a reload makes another, for the same memory.
struct Zone {
    ngx_str_t name;
    ngx_shm_zone_t *shm;
    MainConf *conf;
    ngx_pool_t *pool;      // of the cycle
    ngx_str_t state_file;  // data is null where there is none
    // Where the state is written, in turn; made by the master, so that no
    // worker needs the right to. Both or neither are NGX_INVALID_FILE.
    std::array<ngx_fd_t, 2> state_fds;
    std::uint64_t files = 0;  // their number, see MeterZone
    // The generation that its files go on from, once its configuration is in
    // force; 0: that of before.
    std::uint64_t claim = 0;
    MeterZone *meter;  // null until the memory is there

    // Of this process, which has these pages to itself.
    std::uint16_t place = 0;  // 0: there was none
    Ledger **ledgers = nullptr;
    std::span<const KnownClient> known;  // sorted; made when first needed
    StateSave *save = nullptr;
};

// The lock of a zone, held while this lives. nginx frees it when a worker is
// killed with it.
class ZoneLock {
public:
    explicit ZoneLock(const Zone &zone) noexcept;
    ~ZoneLock() { ngx_shmtx_unlock(mutex_); }
    ZoneLock(const ZoneLock &) = delete;
    ZoneLock &operator=(const ZoneLock &) = delete;

private:
    ngx_shmtx_t *mutex_;
};

// ngx_shm_zone_t.init: `data` is the Zone of the cycle before, if it had one
// of this name and size.
ngx_int_t init_zone(ngx_shm_zone_t *shm, void *data) noexcept;

// Of the master, when nothing of a new configuration can fail any more: from
// now on, its state files are the ones, and zones that it does not have are not
// saved. `conf` is null where there is no http block.
void take_over_zones(const MainConf *conf) noexcept;

// Whether there is no such process any more.
bool is_dead(std::int32_t pid) noexcept;

// Whether nothing is missing: only then are its limits in force.
bool is_complete(const Ledger &ledger) noexcept;

// The ledger of a client, or of all callers without a key where `client` is
// null. Null where there is no room for it: that is counted and logged.
Ledger *find_ledger(Zone &zone, const ClientSet *set, const Client *client,
                    ngx_log_t *log) noexcept;

// The client of these names in the configuration, or null.
const Client *find_client(Zone &zone, std::string_view set,
                          std::string_view id) noexcept;

// The series of a ledger for a model; null when the zone is full.
Series *find_series(Zone &zone, Ledger &ledger,
                    std::string_view model) noexcept;

// The zone that a directive names; null after logging that there is none.
Zone *find_zone(ngx_conf_t *cf, const ngx_str_t &name) noexcept;

// Of the process: takes a place in each zone, and gives it back.
void enter_zones(ngx_cycle_t *cycle, MainConf &conf) noexcept;
void leave_zones(MainConf &conf) noexcept;

// Gives back what killed processes held; every few seconds.
void tend_zones(MainConf &conf, ngx_log_t *log) noexcept;

}  // namespace keystile
