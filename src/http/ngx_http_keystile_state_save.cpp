// The writing of a state file, over several turns of the event loop.

#include "ngx_http_keystile_state.hpp"

#include <signal.h>

#include <optional>

#include "core/state_file.hpp"
#include "ngx_http_keystile_state_text.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {

// One writing of a file, from its beginning to its end.
struct StateSave {
    Zone *zone;
    ngx_event_t event{};
    bool active = false;
    std::uint64_t generation = 0;
    std::int64_t now = 0;
    std::optional<StateWriter> writer;
    std::optional<FileText> text;
};

namespace {

// Makes this process the one that saves; false where another is.
bool become_saver(MeterZone &meter) noexcept {
    std::int32_t saver = meter.saver.load();
    bool gone = saver == 0 || saver == ngx_pid ||
                (kill(saver, 0) == -1 && ngx_errno == NGX_ESRCH);
    return gone && meter.saver.compare_exchange_strong(
                       saver, static_cast<std::int32_t>(ngx_pid));
}

void start(StateSave &save) noexcept {
    auto &meter = *save.zone->meter;
    meter.changed.store(false);
    save.generation = meter.save_generation.load() + 1;
    save.now = ngx_time();
    save.writer.emplace();
    save.text.emplace(save.zone->state_fds[save.generation % 2]);
    save.active = true;
    save.writer->begin(meter, save.generation, save.now, *save.text);
}

// A file that could not be written is tried again, and until then the other
// one stands.
void finish(StateSave &save) noexcept {
    auto &meter = *save.zone->meter;
    int error = save.text->finish();
    if (error == 0) {
        meter.save_generation.store(save.generation);
        meter.saved_at.store(save.now);
    } else {
        meter.changed.store(true);
        meter.save_failures.fetch_add(1);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, error,
                      "cannot write the state of keystile zone \"%V\"; "
                      "the one before is kept",
                      &save.zone->name);
    }
    save.active = false;
    meter.saver.store(0);
}

bool write_some(StateSave &save) noexcept {
    ZoneLock lock{*save.zone};
    return save.writer->write_some(*save.zone->meter, kStateClientsAtOnce,
                                   *save.text);
}

void go_on(ngx_event_t *ev) noexcept {
    auto &save = *static_cast<StateSave *>(ev->data);
    if (!save.active) {
        return;
    }
    if (write_some(save)) {
        ngx_post_event(ev, &ngx_posted_next_events);
    } else {
        finish(save);
    }
}

StateSave *save_of(Zone &zone) noexcept {
    if (zone.save == nullptr) {
        zone.save = ngx::make<StateSave>(zone.pool);
    }
    if (zone.save != nullptr) {
        zone.save->zone = &zone;
        zone.save->event.handler = go_on;
        zone.save->event.data = zone.save;
        zone.save->event.log = ngx_cycle->log;
    }
    return zone.save;
}

}  // namespace

void begin_save(Zone &zone) noexcept {
    if (!has_files(zone) || zone.meter == nullptr ||
        !zone.meter->changed.load(std::memory_order_relaxed)) {
        return;
    }
    auto *save = save_of(zone);
    if (save == nullptr || save->active || !become_saver(*zone.meter)) {
        return;
    }
    start(*save);
    go_on(&save->event);
}

void save_state(Zone &zone) noexcept {
    auto *save =
        has_files(zone) && zone.meter != nullptr ? save_of(zone) : nullptr;
    bool halfway = save != nullptr && save->active;
    if (save == nullptr || (!halfway && !zone.meter->changed.load()) ||
        !become_saver(*zone.meter)) {
        return;
    }
    if (!halfway) {
        start(*save);
    }
    while (write_some(*save)) {
    }
    finish(*save);
    if (halfway) {
        save_state(zone);
    }
}

}  // namespace keystile
