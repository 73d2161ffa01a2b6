#include "ngx_http_keystile_state.hpp"

#include "core/state_file.hpp"
#include "core/state_generation.hpp"
#include "ngx_http_keystile_state_files.hpp"
#include "ngx_http_keystile_state_text.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {

namespace {

constexpr const char *kForeign =
    "what is in its file was not written by this version";
constexpr const char *kTooMuch =
    "its file holds more than there is room for; make the zone larger";

// Where faults of the configuration go, whatever level its own log has.
ngx_log_t *heard(ngx_log_t *log) noexcept {
    return ngx_test_config ? ngx_cycle->log : log;
}

void let_files_be(Zone &zone, const char *why, ngx_log_t *log) noexcept {
    zone.state_fds = {NGX_INVALID_FILE, NGX_INVALID_FILE};
    ngx_log_error(NGX_LOG_ERR, heard(log), 0,
                  "the state of keystile zone \"%V\" is not saved: %s",
                  &zone.name, why);
}

struct Restored {
    bool done = false;
    bool foreign = false;
    std::size_t file = 0;  // that it is from
};

void restore_from(Zone &zone, const StateTexts &texts, std::size_t i,
                  ngx_log_t *log, Restored &restored) noexcept {
    const auto &name = texts.name(i);
    auto read =
        read_state(ngx::view(texts.text(i)), *zone.meter, ClientFilter{});
    if (!read) {
        auto why = ngx::str(describe(read.error().fault));
        ngx_log_error(NGX_LOG_ERR, log, 0,
                      "state file \"%V\" cannot be used: %V, line %uz", &name,
                      &why, read.error().line);
        restored.foreign =
            restored.foreign || read.error().fault != StateFault::torn;
        return;
    }
    restored.done = true;
    restored.file = i;
    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "keystile zone \"%V\" goes on from state file \"%V\": %uz "
                  "clients",
                  &zone.name, &name, read->clients);
    if (read->without_room != 0) {
        zone.meter->lacks_room.store(true);
        // It may be too full to count anything, and yet it is to be told of.
        zone.meter->changed.store(true);
    }
}

// A file that is not whole beside one that is: its last writing was cut off,
// or it is none of ours.
void note_broken(const StateTexts &texts, std::size_t i, ngx_log_t *log,
                 Restored &restored) noexcept {
    bool ours = texts.is_ours(i);
    restored.foreign = restored.foreign || !ours;
    ngx_log_error(NGX_LOG_ERR, log, 0,
                  "state file \"%V\" is %s and not read; the other one is",
                  &texts.name(i), ours ? "torn" : "not ours");
}

// Of a zone that is new to files which are all ours, or empty.
void plan_claim(Zone &zone, std::uint64_t highest,
                std::size_t newer) noexcept {
    auto own = own_generation(*zone.meter);
    zone.claim = next_epoch(ngx_max(highest, own), newer);
}

}  // namespace

bool holds_more(const Zone &zone, const MeterZone &meter) noexcept {
    return has_files(zone) && meter.lacks_room &&
           highest_head(zone) >= own_generation(meter);
}

ngx_int_t take_files(Zone &zone, const Zone &before, ngx_log_t *log) noexcept {
    if (!has_files(zone)) {
        return NGX_OK;
    }
    if (holds_more(zone, *zone.meter)) {
        let_files_be(zone, kTooMuch, log);
        return NGX_OK;
    }
    StateTexts texts{zone, log};
    if (!texts.named()) {
        return NGX_ERROR;
    }
    if (!texts.is_ours(0) || !texts.is_ours(1)) {
        let_files_be(zone, kForeign, log);
        return NGX_OK;
    }
    if (!has_same_files(zone, before) || zone.meter != before.meter ||
        texts.highest() > own_generation(*zone.meter)) {
        plan_claim(zone, texts.highest(), texts.newer());
    }
    return NGX_OK;
}

ngx_int_t copy_zone(const Zone &from, Zone &to, ngx_log_t *log) noexcept {
    MemoryText text{log};
    StateWriter writer;
    {
        ZoneLock lock{from};
        writer.begin(*from.meter, from.meter->save_generation.load(),
                     ngx_time(), text);
        while (writer.write_some(*from.meter, kStateClientsAtOnce, text)) {
        }
    }
    auto read = read_state(text.view(), *to.meter, ClientFilter{});
    if (!read || read->without_room != 0) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "\"keystile_zone\" \"%V\" of %uzk has no room for all "
                      "that \"%V\" of %uzk has counted: %s",
                      &to.name, to.shm->shm.size / 1024, &from.name,
                      from.shm->shm.size / 1024,
                      read ? "make it larger" : "out of memory");
        return NGX_ERROR;
    }
    ngx_log_error(NGX_LOG_NOTICE, log, 0,
                  "keystile zone \"%V\" goes on from what zone \"%V\" "
                  "had counted",
                  &to.name, &from.name);
    to.meter->changed.store(true);
    return take_files(to, from, log);
}

ngx_int_t restore_state(Zone &zone, ngx_log_t *log) noexcept {
    if (!has_files(zone)) {
        return NGX_OK;
    }
    StateTexts texts{zone, log};
    if (!texts.named()) {
        return NGX_ERROR;
    }
    Restored restored;
    auto newer = texts.newer();
    for (auto i : {newer, 1 - newer}) {
        if (texts.text(i).data == nullptr) {
            restored.foreign = true;
        } else if (texts.text(i).len != 0 && !restored.done) {
            restore_from(zone, texts, i, log, restored);
        } else if (texts.text(i).len != 0 && !texts.is_whole(i)) {
            note_broken(texts, i, log, restored);
        }
    }
    if (restored.foreign) {
        let_files_be(zone, kForeign, log);
    } else if (zone.meter->lacks_room) {
        let_files_be(zone, kTooMuch, log);
    } else {
        plan_claim(zone, texts.highest(), restored.file);
    }
    return NGX_OK;
}

ngx_int_t restore_all(Zone &zone, ngx_log_t *log) noexcept {
    auto rc = restore_state(zone, log);
    if (rc != NGX_OK || !zone.meter->lacks_room) {
        return rc;
    }
    ngx_log_error(NGX_LOG_EMERG, log, 0,
                  "\"keystile_zone\" \"%V\" of %uzk has no room for all that "
                  "is in its state file: make it larger",
                  &zone.name, zone.shm->shm.size / 1024);
    return NGX_ERROR;
}

}  // namespace keystile
