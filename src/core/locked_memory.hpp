// LockedMemory: a few pages for a secret, and nothing else in them.
//
// What a mapping gives:
//   - an inaccessible guard page on each side: an overrun in either direction
//     crashes instead of reading or writing the secret;
//   - it never reaches swap;
//   - MADV_DONTDUMP: it is in no core file;
//   - after seal(), PROT_READ: a stray write crashes.
//
// The pages come from memfd_secret(2) where the kernel offers it (5.14 and
// newer, unless it was booted with secretmem.enable=0): then they are out of
// the kernel's own map, and neither /proc/PID/mem nor process_vm_readv(2)
// reads them, for root either. They are shared with the children that inherit
// them, so a process that is done with them only unmaps them; the kernel
// zeroes them after the last one.
//
// Otherwise they are private anonymous memory under mlock(2), zeroed before
// they are unmapped. Each process has its own from its first write on, so that
// the master's zeroing does not reach old workers, which may still be serving.
// Locks are not inherited over fork(2), and the master itself is a child when
// nginx daemonises: a child calls lock_again().
//
// MADV_DONTFORK and MADV_WIPEONFORK would be wrong: nginx's workers are forked
// from the process that read the secret, and must inherit it.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "result.hpp"

namespace keystile {

class LockedMemory {
public:
    enum class Backing : unsigned char {
        secret,  // memfd_secret(2)
        locked,  // mlock(2)
    };

    // Maps at least `bytes` zeroed bytes, a whole number of pages, as `best`
    // or, where there is no memfd_secret(2), as locked. The error is errno:
    // ENOMEM or EPERM when RLIMIT_MEMLOCK is too small. Requires bytes > 0.
    static Result<LockedMemory, int> create(
        std::size_t bytes, Backing best = Backing::secret) noexcept;

    LockedMemory(LockedMemory &&other) noexcept;
    LockedMemory &operator=(LockedMemory &&other) noexcept;
    LockedMemory(const LockedMemory &) = delete;
    LockedMemory &operator=(const LockedMemory &) = delete;
    ~LockedMemory();

    // The pages, or nothing once they are sealed.
    [[nodiscard]] std::span<std::byte> writable() noexcept;

    // Makes the pages read-only, for good. False with errno set when the
    // kernel refuses; they are then still writable.
    [[nodiscard]] bool seal() noexcept;

    // The first `size` bytes. Requires size to be within the mapping.
    [[nodiscard]] std::string_view view(std::size_t size) const noexcept;

    // Locks the pages in a process that inherited them. False with errno set
    // when the limit is too small.
    [[nodiscard]] bool lock_again() const noexcept;

    [[nodiscard]] Backing backing() const noexcept { return backing_; }

private:
    LockedMemory(std::byte *pages, std::size_t size, Backing backing) noexcept
        : pages_{pages}, size_{size}, backing_{backing} {}

    void release() noexcept;

    std::byte *pages_;
    std::size_t size_;
    Backing backing_;
    bool sealed_ = false;
};

}  // namespace keystile
