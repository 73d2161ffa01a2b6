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
    std::optional<MemoryText> part;  // of it, before it goes to the file
};

namespace {

// Makes this process the one that saves; false where another is, unless that
// is gone. Its pid may be another process's by now, so time tells, too.
bool become_saver(MeterZone &meter) noexcept {
    constexpr std::int64_t kLongest = 300;
    std::int32_t saver = meter.saver.load();
    bool gone = saver == 0 || saver == ngx_pid ||
                (kill(saver, 0) == -1 && ngx_errno == NGX_ESRCH) ||
                ngx_time() - meter.saving_since.load() > kLongest;
    if (!gone || !meter.saver.compare_exchange_strong(
                     saver, static_cast<std::int32_t>(ngx_pid))) {
        return false;
    }
    meter.saving_since.store(ngx_time());
    return true;
}

// Not so in a worker that is left over from a configuration with others.
bool has_newest_files(const Zone &zone) noexcept {
    return zone.meter->files.load() == zone.files;
}

// False where another is to save. As the files are looked at last, either that
// is seen here, or the master says once more that something changed.
bool start(StateSave &save) noexcept {
    auto &meter = *save.zone->meter;
    meter.changed.store(false);
    if (!has_newest_files(*save.zone)) {
        meter.changed.store(true);
        meter.saver.store(0);
        return false;
    }
    save.generation = meter.save_generation.load() + 1;
    save.now = ngx_time();
    save.writer.emplace();
    save.text.emplace(save.zone->state_fds[save.generation % 2]);
    save.active = true;
    save.writer->begin(meter, save.generation, save.now, *save.text);
    return true;
}

// A file that could not be written is tried again, and until then the other
// one stands.
bool finish(StateSave &save) noexcept {
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
    return error == 0;
}

// What is written with the lock held goes to memory: a disk may be slow.
bool write_some(StateSave &save) noexcept {
    save.part.emplace(ngx_cycle->log);
    bool more;
    {
        ZoneLock lock{*save.zone};
        more = save.writer->write_some(*save.zone->meter, kStateClientsAtOnce,
                                       *save.part);
    }
    save.text->put(save.part->view());
    save.part.reset();
    return more;
}

bool is_retired(const StateSave &save) noexcept {
    if (save.zone->meter->retired.load() || !has_newest_files(*save.zone)) {
        save.zone->meter->saver.store(0);
        return true;
    }
    return false;
}

void go_on(ngx_event_t *ev) noexcept {
    auto &save = *static_cast<StateSave *>(ev->data);
    if (!save.active || is_retired(save)) {
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
    if (!has_files(zone) || zone.meter == nullptr || zone.meter->retired ||
        !has_newest_files(zone) ||
        !zone.meter->changed.load(std::memory_order_relaxed)) {
        return;
    }
    auto *save = save_of(zone);
    if (save == nullptr || save->active || !become_saver(*zone.meter)) {
        return;
    }
    if (start(*save)) {
        go_on(&save->event);
    }
}

void save_state(Zone &zone) noexcept {
    auto *save =
        has_files(zone) && zone.meter != nullptr ? save_of(zone) : nullptr;
    if (save == nullptr || zone.meter->retired || !has_newest_files(zone)) {
        return;
    }
    // What others change meanwhile is theirs to save.
    for (bool again = true; save->active || (again && zone.meter->changed);) {
        if (!save->active) {
            if (!become_saver(*zone.meter) || !start(*save)) {
                return;
            }
            again = false;
        }
        while (write_some(*save)) {
        }
        if (!finish(*save)) {
            return;
        }
        // One that has left in the meantime could not save, one that is still
        // here will.
        again = again || zone.meter->processes() == 0;
    }
}

}  // namespace keystile
