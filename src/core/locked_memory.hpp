// LockedMemory: a few pages for a secret, and nothing else in them.
//
// What a mapping gives:
//   - an inaccessible guard page on each side: an overrun in either direction
//     crashes instead of reading or writing the secret;
//   - mlock(2): it never reaches swap;
//   - MADV_DONTDUMP: it is in no core file;
//   - after seal(), PROT_READ: a stray write crashes;
//   - zeroed before it is unmapped.
//
// What it deliberately does not do:
//   - MADV_DONTFORK and MADV_WIPEONFORK: nginx's workers are forked from the
//     process that read the secret, and must inherit it;
//   - MAP_SHARED: private pages are copied when written to, so when the master
//     wipes its mapping after a reload, old workers that still drain requests
//     keep their bytes.
//
// Locks are not inherited over fork(2), and the master itself is a child when
// nginx daemonises: a child calls lock_again().
//
// create() and the destructor are the only places that know how the pages are
// backed. A shared backing such as memfd_secret(2) must not be zeroed by one
// of several processes that map it, but only unmapped.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "result.hpp"

namespace keystile {

class LockedMemory {
public:
    // Maps at least `bytes` zeroed bytes, a whole number of pages. The error
    // is errno: ENOMEM or EPERM when RLIMIT_MEMLOCK is too small.
    // Requires bytes > 0.
    static Result<LockedMemory, int> create(std::size_t bytes) noexcept;

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

private:
    LockedMemory(std::byte *pages, std::size_t size) noexcept
        : pages_{pages}, size_{size} {}

    void release() noexcept;

    std::byte *pages_;
    std::size_t size_;
    bool sealed_ = false;
};

}  // namespace keystile
