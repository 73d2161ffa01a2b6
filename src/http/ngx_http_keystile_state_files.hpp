// The two files of a zone's state: their names, and what is in them.

#pragma once

#include "ngx/nginx.hpp"

#include <array>
#include <cstdint>

namespace keystile {

class MeterZone;
struct Zone;

// Whether there are files to write to.
bool has_files(const Zone &zone) noexcept;

// Opens the files, makes them where there are none. NGX_ERROR after logging
// why not.
ngx_int_t open_state(ngx_conf_t *cf, Zone &zone) noexcept;

// Whether the two write to the same file, by whatever name.
bool shares_state(const Zone &a, const Zone &b) noexcept;

// Whether what one writes, the other would have written over; true if neither
// writes anything.
bool has_same_files(const Zone &a, const Zone &b) noexcept;

// What is in both files. Requires has_files().
class StateTexts {
public:
    StateTexts(const Zone &zone, ngx_log_t *log) noexcept;
    ~StateTexts();
    StateTexts(const StateTexts &) = delete;
    StateTexts &operator=(const StateTexts &) = delete;

    // False when out of memory.
    bool named() const noexcept { return names_[1].data != nullptr; }
    const ngx_str_t &name(std::size_t i) const noexcept { return names_[i]; }

    // data is null where it could not be read, which is logged.
    const ngx_str_t &text(std::size_t i) const noexcept { return texts_[i]; }

    // The one that is whole and newer; the first where none is.
    std::size_t newer() const noexcept;
    bool is_whole(std::size_t i) const noexcept;

    // Whether it may be written over: it is empty, or of this version.
    bool is_ours(std::size_t i) const noexcept;

    // The highest generation that one of them tells, also one that is torn.
    std::uint64_t highest() const noexcept;

private:
    std::array<ngx_str_t, 2> names_;
    std::array<ngx_str_t, 2> texts_;
};

// The highest generation that the first line of one of the files tells.
// Requires has_files().
std::uint64_t highest_head(const Zone &zone) noexcept;

// The highest generation that this nginx may have written.
std::uint64_t own_generation(const MeterZone &meter) noexcept;

// Whether there is no name for it any more: nobody would find what is in it.
bool is_gone(ngx_fd_t fd) noexcept;

}  // namespace keystile
