// The state file of a zone: what it has counted, kept over a restart.
//
// There are two files, `FILE` and `FILE.2`, written in turn, each with a
// number that grows and a checksum: whatever happens while one is written,
// the other is whole. The master opens them, so that workers need no right to
// the directory.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

struct Zone;
// Clients that are written at one time, with the lock of the zone held.
inline constexpr std::size_t kStateClientsAtOnce = 256;

// Whether there are files to write to.
bool has_files(const Zone &zone) noexcept;

// Opens the files, makes them where there are none. NGX_ERROR after logging
// why not.
ngx_int_t open_state(ngx_conf_t *cf, Zone &zone) noexcept;

// Reads the newer one that is whole into a new zone. What is wrong with them
// is logged; a file that is none of ours is never written to.
ngx_int_t restore_state(Zone &zone, ngx_log_t *log) noexcept;

// Whether the two write to the same file, by whatever name.
bool shares_state(const Zone &a, const Zone &b) noexcept;

// Whether what one writes, the other would have written over; true if neither
// writes anything.
bool has_same_files(const Zone &a, const Zone &b) noexcept;

// Makes the files those of a zone that is older than they are: what they hold
// is written over. Files that are none of ours are let be.
ngx_int_t take_files(Zone &zone, ngx_log_t *log) noexcept;

// Copies what `from` has counted to a new zone.
void copy_zone(const Zone &from, Zone &to, ngx_log_t *log) noexcept;

// Begins to write the state, if there is anything new and no other process is
// about it, and goes on from event to event.
void begin_save(Zone &zone) noexcept;

// Writes it whole, now. For a process that exits.
void save_state(Zone &zone) noexcept;

}  // namespace keystile
