// The writing of a state file, over several turns of the event loop.

#include "ngx_http_keystile_state.hpp"

#include <optional>

#include "core/state_file.hpp"
#include "core/state_generation.hpp"
#include "ngx_http_keystile_state_files.hpp"
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

enum class Unsaved : unsigned { let_be, taken_over, gone };

constexpr std::array<const char *, 3> kReasons{
    "see what was logged when its files were read",
    "another nginx has taken over its files, and this one saves nothing until "
    "it is reloaded",
    "a file of it was removed or replaced, which a reload makes anew",
};

// Said once by all processes, until the next reload; counted each time.
void note_unsaved(Zone &zone, Unsaved why) noexcept {
    auto number = static_cast<unsigned>(why);
    auto bit = 1U << number;
    zone.meter->save_failures.fetch_add(1);
    if ((zone.meter->unsaved_said.fetch_or(bit) & bit) == 0) {
        ngx_log_error(NGX_LOG_ERR, zone.shm->shm.log, 0,
                      "the state of keystile zone \"%V\" is not saved: %s",
                      &zone.name, kReasons[number]);
    }
}

bool become_saver(MeterZone &meter) noexcept {
    return meter.save_turn.take(ngx_pid, ngx_time(), is_dead);
}

// Not so in a worker that is left over from a configuration with others.
bool has_newest_files(const Zone &zone) noexcept {
    return zone.meter->files.load() == zone.files;
}

// The generation to write; 0 where there is no file to write it to. One whose
// name is gone is passed over: the other one is better than none.
std::uint64_t next_generation(Zone &zone) noexcept {
    auto &meter = *zone.meter;
    if (highest_head(zone) > own_generation(meter)) {
        note_unsaved(zone, Unsaved::taken_over);
        return 0;
    }
    auto next = meter.save_generation.load() + 1;
    if (is_gone(zone.state_fds[next % 2])) {
        note_unsaved(zone, Unsaved::gone);
        next++;
    }
    return is_gone(zone.state_fds[next % 2]) ? 0 : next;
}

// False where another is to save. As the files are looked at last, either that
// is seen here, or the master says once more that something changed.
bool start(StateSave &save) noexcept {
    auto &zone = *save.zone;
    auto &meter = *zone.meter;
    meter.changed.store(false);
    save.generation = has_newest_files(zone) ? next_generation(zone) : 0;
    if (save.generation == 0) {
        meter.changed.store(true);
        meter.save_turn.end(ngx_pid);
        return false;
    }
    raise_generation(meter.begun_generation, save.generation);
    save.now = ngx_time();
    save.writer.emplace();
    save.text.emplace(zone.state_fds[save.generation % 2]);
    save.active = true;
    save.writer->begin(meter, save.generation, save.now, *save.text);
    return true;
}

// Whether the file is another's by now, be it another process's.
bool is_lost(const StateSave &save) noexcept {
    const auto &zone = *save.zone;
    return !zone.meter->save_turn.keep(ngx_pid, ngx_time()) ||
           zone.meter->retired || !has_newest_files(zone) ||
           highest_head(zone) > own_generation(*zone.meter);
}

void end(StateSave &save) noexcept {
    save.active = false;
    save.zone->meter->save_turn.end(ngx_pid);
}

// What it would have written is still to be saved, by whoever is to.
void drop(StateSave &save) noexcept {
    save.zone->meter->changed.store(true);
    end(save);
}

// A file that could not be written is tried again, and until then the other
// one stands. At the begin of an epoch, the other one may be of an nginx that
// does not know yet that they are taken over, so both are written.
bool finish(StateSave &save) noexcept {
    auto &meter = *save.zone->meter;
    int error = save.text->finish();
    if (error == 0) {
        raise_generation(meter.save_generation, save.generation);
        meter.saved_at.store(save.now);
        if (begins_epoch(save.generation)) {
            meter.changed.store(true);
        }
    } else {
        meter.changed.store(true);
        meter.save_failures.fetch_add(1);
        ngx_log_error(NGX_LOG_ERR, save.zone->shm->shm.log, error,
                      "cannot write the state of keystile zone \"%V\"; "
                      "the one before is kept",
                      &save.zone->name);
    }
    end(save);
    return error == 0;
}

// What is written with the lock held goes to memory: a disk may be slow.
bool write_some(StateSave &save) noexcept {
    save.part.emplace(save.zone->shm->shm.log);
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

void go_on(ngx_event_t *ev) noexcept {
    auto &save = *static_cast<StateSave *>(ev->data);
    if (!save.active) {
        return;
    }
    if (is_lost(save)) {
        drop(save);
    } else if (write_some(save)) {
        ngx_post_event(ev, &ngx_posted_next_events);
    } else if (is_lost(save)) {
        drop(save);
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
        zone.save->event.log = zone.shm->shm.log;
    }
    return zone.save;
}

// From its beginning, or what is left of it. False where it is another's to
// save, and when it could not be written.
bool save_whole(StateSave &save) noexcept {
    if (!save.active && (!become_saver(*save.zone->meter) || !start(save))) {
        return false;
    }
    while (!is_lost(save) && write_some(save)) {
    }
    if (is_lost(save)) {
        drop(save);
        return false;
    }
    return finish(save);
}

}  // namespace

void begin_save(Zone &zone) noexcept {
    if (zone.state_file.data == nullptr || zone.meter == nullptr ||
        zone.meter->retired || !has_newest_files(zone) ||
        !zone.meter->changed.load(std::memory_order_relaxed)) {
        return;
    }
    if (!has_files(zone)) {
        note_unsaved(zone, Unsaved::let_be);
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
        again = again && save->active;
        if (!save_whole(*save)) {
            return;
        }
        // One that has left in the meantime could not save, one that is still
        // here will.
        again = again || zone.meter->processes() == 0;
    }
}

void claim_files(Zone &zone) noexcept {
    auto &meter = *zone.meter;
    meter.unsaved_said.store(0);
    if (has_files(zone)) {
        meter.lacks_room.store(false);  // it was that of others
    }
    if (zone.claim == 0) {
        return;
    }
    raise_generation(meter.save_generation, zone.claim);
    meter.changed.store(true);
    // Now, or another that starts meanwhile would find what this one found.
    auto *save = ngx_test_config ? nullptr : save_of(zone);
    if (save != nullptr) {
        save_whole(*save);
    }
}

}  // namespace keystile
