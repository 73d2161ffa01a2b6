#include "locked_memory.hpp"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "file_descriptor.hpp"

namespace keystile {
namespace {

std::size_t page_size() noexcept {
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

// Unmaps without disturbing the errno that tells what went wrong.
int unmap_after_error(std::byte *base, std::size_t size) noexcept {
    auto error_number = errno;
    munmap(base, size);
    return error_number;
}

using Backing = LockedMemory::Backing;

// Puts secret memory in the place of reserved pages; false where there is
// none.
bool map_secret(std::byte *pages, std::size_t size) noexcept {
#ifdef __NR_memfd_secret
    FileDescriptor fd{static_cast<int>(syscall(__NR_memfd_secret, O_CLOEXEC))};
    return fd && ftruncate(fd.get(), static_cast<off_t>(size)) == 0 &&
           mmap(pages, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                fd.get(), 0) != MAP_FAILED;
#else
    (void)pages;
    (void)size;
    return false;
#endif
}

}  // namespace

Result<LockedMemory, int> LockedMemory::create(std::size_t bytes,
                                               Backing best) noexcept {
    auto page = page_size();
    if (bytes > SIZE_MAX - 3 * page) {
        return ENOMEM;
    }
    auto size = (bytes + page - 1) / page * page;
    auto mapped_size = size + 2 * page;

    // All of it inaccessible first: what is not opened below is a guard.
    auto mapped = mmap(nullptr, mapped_size, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return errno;
    }
    auto base = static_cast<std::byte *>(mapped);
    auto pages = base + page;

    if (best == Backing::secret && map_secret(pages, size)) {
        return LockedMemory{pages, size, Backing::secret};
    }
    // Mapped anew: a failed attempt above may have left a hole.
    if (mmap(pages, size, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED ||
        madvise(pages, size, MADV_DONTDUMP) != 0 || mlock(pages, size) != 0) {
        return unmap_after_error(base, mapped_size);
    }
    return LockedMemory{pages, size, Backing::locked};
}

LockedMemory::LockedMemory(LockedMemory &&other) noexcept
    : pages_{std::exchange(other.pages_, nullptr)},
      size_{std::exchange(other.size_, 0)},
      backing_{other.backing_},
      sealed_{other.sealed_} {}

LockedMemory &LockedMemory::operator=(LockedMemory &&other) noexcept {
    if (this != &other) {
        release();
        pages_ = std::exchange(other.pages_, nullptr);
        size_ = std::exchange(other.size_, 0);
        backing_ = other.backing_;
        sealed_ = other.sealed_;
    }
    return *this;
}

LockedMemory::~LockedMemory() { release(); }

std::span<std::byte> LockedMemory::writable() noexcept {
    return sealed_ ? std::span<std::byte>{} : std::span{pages_, size_};
}

bool LockedMemory::seal() noexcept {
    sealed_ = mprotect(pages_, size_, PROT_READ) == 0;
    return sealed_;
}

std::string_view LockedMemory::view(std::size_t size) const noexcept {
    return {reinterpret_cast<const char *>(pages_), size};
}

bool LockedMemory::lock_again() const noexcept {
    return backing_ == Backing::secret || mlock(pages_, size_) == 0;
}

void LockedMemory::release() noexcept {
    if (pages_ == nullptr) {
        return;
    }
    // Secret memory is shared: zeroing it would take it from old workers.
    // Where the kernel does not let us write, unmapping is all that is left;
    // it zeroes pages before it hands them to anybody else.
    if (backing_ == Backing::locked &&
        (!sealed_ || mprotect(pages_, size_, PROT_READ | PROT_WRITE) == 0)) {
        explicit_bzero(pages_, size_);
    }
    auto page = page_size();
    munmap(pages_ - page, size_ + 2 * page);
}

}  // namespace keystile
