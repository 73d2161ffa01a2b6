// The state file of a zone: what it has counted, kept over a restart.
//
// There are two files, `FILE` and `FILE.2`, written in turn, each with a
// number that grows and a checksum: whatever happens while one is written,
// the other is whole. The master opens them, so that workers need no right to
// the directory. They belong to the nginx that was started or reloaded last:
// any other that still counts writes nothing to them.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

class MeterZone;
struct Zone;

// Clients that are written at one time, with the lock of the zone held.
inline constexpr std::size_t kStateClientsAtOnce = 256;

// Reads the newer one that is whole into a new zone. What is wrong with them
// is logged; they are never written to if one is none of ours, or if they hold
// more than the zone has room for.
ngx_int_t restore_state(Zone &zone, ngx_log_t *log) noexcept;

// The same at a reload: NGX_ERROR after logging it if there is too little room.
ngx_int_t restore_all(Zone &zone, ngx_log_t *log) noexcept;

// Whether the files of `zone` hold what did not fit in that meter when it was
// made from them.
bool holds_more(const Zone &zone, const MeterZone &meter) noexcept;

// Makes the files those of a zone that is older than they are: what they hold
// is written over. Files that are none of ours are let be, and so are those
// for which holds_more(). `before` is the zone of the configuration before.
ngx_int_t take_files(Zone &zone, const Zone &before, ngx_log_t *log) noexcept;

// Copies what `from` has counted to a new zone, and makes the files those of
// that. NGX_ERROR after logging that there is no room for all of it.
ngx_int_t copy_zone(const Zone &from, Zone &to, ngx_log_t *log) noexcept;

// Of the master, once the configuration is in force: writes one of the files,
// so that any other nginx can tell that they are another's now.
void claim_files(Zone &zone) noexcept;

// Begins to write the state, if there is anything new and no other process is
// about it, and goes on from event to event.
void begin_save(Zone &zone) noexcept;

// Writes it whole, now. For a process that exits.
void save_state(Zone &zone) noexcept;

}  // namespace keystile
