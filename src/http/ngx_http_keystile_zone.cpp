#include "ngx_http_keystile_zone.hpp"

#include <signal.h>

#include <algorithm>

#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_state.hpp"
#include "ngx_http_keystile_state_files.hpp"

namespace keystile {
namespace {

ngx_slab_pool_t *slab_of(const Zone &zone) noexcept {
    return reinterpret_cast<ngx_slab_pool_t *>(zone.shm->shm.addr);
}

// All that nginx's slab pool has to give, in one piece: it is never asked
// again, so that a killed worker cannot leave its lists half changed.
MeterZone *create_meter(const Zone &zone) noexcept {
    auto *slab = slab_of(zone);
    auto size = slab->pfree * ngx_pagesize;
    auto *memory = static_cast<std::byte *>(ngx_slab_calloc(slab, size));
    return memory == nullptr ? nullptr
                             : MeterZone::create({memory, size}, ngx_time());
}

// Calls visit(zone) for those of the cycle that is still the present one.
template <typename Visit>
void for_each_before(Visit visit) noexcept {
    auto *part = &ngx_cycle->shared_memory.part;
    for (; part != nullptr; part = part->next) {
        auto *zones = static_cast<ngx_shm_zone_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            auto *zone = static_cast<Zone *>(zones[i].data);
            if (zones[i].init == init_zone && zone != nullptr &&
                zone->meter != nullptr) {
                visit(*zone);
            }
        }
    }
}

// What a new zone goes on from: one of its name, which has another size, or
// else one that has its files. Null where there is none.
const Zone *find_before(const Zone &zone) noexcept {
    const Zone *named = nullptr;
    const Zone *filed = nullptr;
    for_each_before([&](const Zone &before) {
        if (&before == &zone) {
            return;
        }
        if (ngx::view(before.name) == ngx::view(zone.name)) {
            named = &before;
        } else if (has_files(zone) && has_same_files(zone, before)) {
            filed = &before;
        }
    });
    return named != nullptr ? named : filed;
}

// A zone that does not go on is not saved any more: another may have its files,
// now or after the next reload. What it has counted is, unless another has it.
void retire(Zone &before, std::span<Zone *const> zones) noexcept {
    auto any = [zones](auto is_so) {
        return std::any_of(zones.begin(), zones.end(), is_so);
    };
    if (any([&](auto *zone) { return zone->meter == before.meter; })) {
        return;
    }
    if (!any([&](auto *zone) { return shares_state(*zone, before); })) {
        save_state(before);
    }
    before.meter->retired.store(true);
}

void leave_dead(Zone &zone, ngx_log_t *log) noexcept {
    auto count =
        zone.meter->leave_dead([](auto pid) { return !is_dead(pid); });
    if (count != 0) {
        zone.meter->changed.store(true);  // one may have been at saving it
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "keystile zone \"%V\": gave back what %ui processes "
                      "that were killed had reserved",
                      &zone.name, static_cast<ngx_uint_t>(count));
    }
}

constinit time_t said_full = 0;

// Once a second, not for each request.
void say_full(const Zone &zone, ngx_log_t *log) noexcept {
    if (std::exchange(said_full, ngx_time()) != ngx_time()) {
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "\"keystile_zone\" \"%V\" is full: clients with limits "
                      "are refused, others are not counted; make it larger",
                      &zone.name);
    }
}

// Where the ledger of a client is in the table. 0 is for callers without a
// key; after that, clients as they stand in the files.
std::size_t ledger_index(const MainConf &conf, const ClientSet *set,
                         const Client *client) noexcept {
    if (client == nullptr) {
        return 0;
    }
    std::size_t index = 1;
    for (const auto *other : ngx::elements<ClientSet *>(&conf.client_sets)) {
        if (other == set) {
            break;
        }
        index += other->keys.clients.size();
    }
    return index + static_cast<std::size_t>(client - set->keys.clients.data());
}

std::size_t ledger_count(const MainConf &conf) noexcept {
    std::size_t count = 1;
    for (const auto *set : ngx::elements<ClientSet *>(&conf.client_sets)) {
        count += set->keys.clients.size();
    }
    return count;
}

// Fills in what is missing; false where the zone has no room for it.
bool complete(Zone &zone, Ledger &ledger, const ClientSet *set,
              const Client *client) noexcept {
    auto &meter = *zone.meter;
    ZoneLock lock{zone};

    if (ledger.record == nullptr) {
        ledger.record = client == nullptr
                            ? meter.client({}, {})
                            : meter.client(set->name, client->id);
    }
    if (ledger.record == nullptr) {
        return false;
    }
    if (ledger.presence == nullptr && zone.place != 0) {
        ledger.presence = meter.presence(*ledger.record, zone.place);
    }
    bool all = ledger.presence != nullptr;
    for (std::size_t i = 0; i < ledger.states.size(); i++) {
        if (ledger.states[i] == nullptr) {
            ledger.states[i] =
                meter.limit_state(*ledger.record, ledger.limits[i]);
        }
        all = all && ledger.states[i] != nullptr;
    }
    return all;
}

Ledger *make_ledger(ngx_pool_t *pool, const Client *client) noexcept {
    auto *ledger = ngx::make<Ledger>(pool);
    if (ledger == nullptr || client == nullptr || client->limits.empty()) {
        return ledger;
    }
    ledger->limits = client->limits;
    ledger->states =
        ngx::make_array<LimitState *>(pool, client->limits.size());
    return ledger->states.empty() ? nullptr : ledger;
}

bool is_before(const KnownClient &known,
               std::pair<std::string_view, std::string_view> names) noexcept {
    return std::pair{known.set, known.client->id} < names;
}

// Empty when out of memory.
std::span<KnownClient> sort_clients(const Zone &zone) noexcept {
    auto known =
        ngx::make_array<KnownClient>(zone.pool, ledger_count(*zone.conf) - 1);
    std::size_t size = 0;
    for (const auto *set :
         ngx::elements<ClientSet *>(&zone.conf->client_sets)) {
        for (const auto &client : set->keys.clients) {
            if (size < known.size()) {
                known[size++] = {set->name, &client};
            }
        }
    }
    std::sort(known.begin(), known.end(), [](const auto &a, const auto &b) {
        return is_before(a, {b.set, b.client->id});
    });
    return known;
}

}  // namespace

bool is_dead(std::int32_t pid) noexcept {
    return kill(pid, 0) == -1 && ngx_errno == NGX_ESRCH;
}

ngx_int_t init_zone(ngx_shm_zone_t *shm, void *data) noexcept {
    auto &zone = *static_cast<Zone *>(shm->data);
    if (data != nullptr) {
        const auto &before = *static_cast<Zone *>(data);
        zone.meter = before.meter;
        zone.files = before.files + (has_same_files(zone, before) ? 0 : 1);
        return take_files(zone, before, shm->shm.log);
    }
    if (shm->shm.exists) {
        zone.meter = static_cast<MeterZone *>(slab_of(zone)->data);
        return NGX_OK;
    }

    zone.meter = create_meter(zone);
    if (zone.meter == nullptr) {
        ngx_log_error(NGX_LOG_EMERG, shm->shm.log, 0,
                      "\"keystile_zone\" \"%V\" is too small", &zone.name);
        return NGX_ERROR;
    }
    slab_of(zone)->data = zone.meter;
    const auto *before = find_before(zone);
    if (before == nullptr) {
        return restore_state(zone, shm->shm.log);
    }
    // What it had room for is not worth more than its files.
    if (holds_more(zone, *before->meter)) {
        return restore_all(zone, shm->shm.log);
    }
    return copy_zone(*before, zone, shm->shm.log);
}

// In this order: see has_newest_files() of the saving.
void take_over_zones(const MainConf *conf) noexcept {
    auto zones =
        ngx::elements<Zone *>(conf == nullptr ? nullptr : &conf->zones);
    for_each_before([zones](Zone &before) { retire(before, zones); });
    for (auto *zone : zones) {
        if (zone->meter == nullptr) {
            continue;
        }
        if (zone->meter->files.exchange(zone->files) != zone->files) {
            zone->meter->changed.store(true);
        }
        claim_files(*zone);
    }
}

bool is_complete(const Ledger &ledger) noexcept {
    return ledger.presence != nullptr &&
           std::none_of(ledger.states.begin(), ledger.states.end(),
                        [](auto *state) { return state == nullptr; });
}

ZoneLock::ZoneLock(const Zone &zone) noexcept : mutex_{&slab_of(zone)->mutex} {
    ngx_shmtx_lock(mutex_);
}

Ledger *find_ledger(Zone &zone, const ClientSet *set, const Client *client,
                    ngx_log_t *log) noexcept {
    if (zone.ledgers == nullptr) {
        zone.ledgers = static_cast<Ledger **>(ngx_pcalloc(
            zone.pool, ledger_count(*zone.conf) * sizeof(Ledger *)));
        if (zone.ledgers == nullptr) {
            return nullptr;
        }
    }
    auto *&ledger = zone.ledgers[ledger_index(*zone.conf, set, client)];
    if (ledger == nullptr) {
        ledger = make_ledger(zone.pool, client);
    }
    if (ledger == nullptr || is_complete(*ledger)) {
        return ledger;
    }
    if (!complete(zone, *ledger, set, client)) {
        say_full(zone, log);
    }
    return ledger->record == nullptr ? nullptr : ledger;
}

const Client *find_client(Zone &zone, std::string_view set,
                          std::string_view id) noexcept {
    if (zone.known.empty()) {
        zone.known = sort_clients(zone);
    }
    auto at = std::lower_bound(zone.known.begin(), zone.known.end(),
                               std::pair{set, id}, is_before);
    bool found =
        at != zone.known.end() && at->set == set && at->client->id == id;
    return found ? at->client : nullptr;
}

Series *find_series(Zone &zone, Ledger &ledger,
                    std::string_view model) noexcept {
    for (auto *series = ledger.record->series.load(std::memory_order_acquire);
         series != nullptr; series = series->next) {
        if (series->place == zone.place && series->model.view() == model) {
            return series;
        }
    }
    if (zone.place == 0) {
        return nullptr;
    }
    ZoneLock lock{zone};
    return zone.meter->series(*ledger.record, model, zone.place);
}

void enter_zones(ngx_cycle_t *cycle, MainConf &conf) noexcept {
    for (auto *zone : ngx::elements<Zone *>(&conf.zones)) {
        ZoneLock lock{*zone};
        leave_dead(*zone, cycle->log);
        zone->place = zone->meter->enter(ngx_pid);
        if (zone->place == 0) {
            say_full(*zone, cycle->log);
        }
    }
}

void leave_zones(MainConf &conf) noexcept {
    for (auto *zone : ngx::elements<Zone *>(&conf.zones)) {
        if (zone->place != 0) {
            ZoneLock lock{*zone};
            zone->meter->leave(std::exchange(zone->place, 0));
        }
        save_state(*zone);
    }
}

void tend_zones(MainConf &conf, ngx_log_t *log) noexcept {
    for (auto *zone : ngx::elements<Zone *>(&conf.zones)) {
        ZoneLock lock{*zone};
        leave_dead(*zone, log);
    }
}

}  // namespace keystile
