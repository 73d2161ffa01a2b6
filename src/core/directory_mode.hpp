// Who may change what is in a directory, by its mode.

#pragma once

#include <sys/stat.h>
#include <sys/types.h>

namespace keystile {

constexpr bool others_may_write(mode_t mode) noexcept {
    return (mode & (S_IWGRP | S_IWOTH)) != 0;
}

// Also what is not theirs: not so in a sticky one, as /tmp.
constexpr bool others_may_replace(mode_t mode) noexcept {
    return others_may_write(mode) && (mode & S_ISVTX) == 0;
}

}  // namespace keystile
