#include "locked_memory.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <utility>

#include "mlock_is_real.hpp"

namespace {

// What munmap() is called with, seen before the pages are gone.
std::function<void(void *, std::size_t)> on_unmap;

}  // namespace

extern "C" int __real_munmap(void *address, std::size_t size);
extern "C" int __wrap_munmap(void *address, std::size_t size);

extern "C" int __wrap_munmap(void *address, std::size_t size) {
    if (on_unmap) {
        on_unmap(address, size);
    }
    return __real_munmap(address, size);
}

namespace keystile {
namespace {

const std::string kSecret = "sk-test-locked-memory";

std::size_t page_size() {
    return static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

using Backing = LockedMemory::Backing;

LockedMemory make(const std::string &content, Backing best = Backing::locked) {
    auto memory = LockedMemory::create(content.size(), best);
    EXPECT_TRUE(memory);
    std::memcpy(memory->writable().data(), content.data(), content.size());
    return std::move(*memory);
}

// The permissions and VmFlags of the mapping that holds an address, such as
// "r--p rd mr mw me lo ac dd"; see proc(5).
std::string mapping_of(const void *address) {
    auto wanted = reinterpret_cast<std::uintptr_t>(address);
    std::ifstream smaps{"/proc/self/smaps"};
    std::string line;
    std::string permissions;
    bool found = false;
    while (std::getline(smaps, line)) {
        std::uintptr_t start = 0;
        std::uintptr_t end = 0;
        char flags[5];
        if (sscanf(line.c_str(), "%lx-%lx %4s ", &start, &end, flags) == 3) {
            found = start <= wanted && wanted < end;
            permissions = flags;
        } else if (found && line.rfind("VmFlags:", 0) == 0) {
            return permissions + line.substr(8);
        }
    }
    return "not mapped";
}

bool has_flag(const std::string &mapping, const std::string &flag) {
    std::istringstream words{mapping};
    std::string word;
    while (words >> word) {
        if (word == flag) {
            return true;
        }
    }
    return false;
}

// Whether `test` holds in a child process.
bool holds_in_child(const std::function<bool()> &test) {
    auto pid = fork();
    if (pid == 0) {
        _exit(test() ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// A sanitizer would catch the signal and report it.
void allow_death() { signal(SIGSEGV, SIG_DFL); }
const testing::KilledBySignal kKilled{SIGSEGV};

TEST(LockedMemory, IsZeroedAndOfWholePages) {
    for (auto bytes : {std::size_t{1}, page_size(), page_size() + 1}) {
        auto memory = LockedMemory::create(bytes);
        ASSERT_TRUE(memory);
        auto pages = memory->writable();
        EXPECT_EQ(pages.size(),
                  (bytes + page_size() - 1) / page_size() * page_size());
        EXPECT_TRUE(std::all_of(pages.begin(), pages.end(),
                                [](std::byte b) { return b == std::byte{}; }));
    }
}

TEST(LockedMemory, IsLockedAndInNoCoreFile) {
    NEEDS_MLOCK();
    auto memory = make(kSecret);
    auto mapping = mapping_of(memory.view(1).data());
    EXPECT_TRUE(has_flag(mapping, "lo")) << mapping;
    EXPECT_TRUE(has_flag(mapping, "dd")) << mapping;
    EXPECT_TRUE(has_flag(mapping, "rw-p")) << mapping;
    EXPECT_FALSE(has_flag(mapping, "dc")) << mapping << ": not inherited";
    EXPECT_FALSE(has_flag(mapping, "wf")) << mapping << ": wiped by fork";
}

TEST(LockedMemory, LiesBetweenInaccessiblePages) {
    auto memory = make(std::string(page_size() + 1, 'x'));
    auto pages = memory.writable();
    EXPECT_EQ(mapping_of(pages.data() - 1).substr(0, 4), "---p");
    EXPECT_EQ(mapping_of(pages.data() + pages.size()).substr(0, 4), "---p");
}

TEST(LockedMemoryDeathTest, OverrunsCrash) {
    auto memory = make(kSecret);
    auto pages = memory.writable();
    volatile std::byte *before = pages.data() - 1;
    volatile std::byte *after = pages.data() + pages.size();
    EXPECT_EXIT(
        {
            allow_death();
            (void)*before;
        },
        kKilled, "");
    EXPECT_EXIT(
        {
            allow_death();
            (void)*after;
        },
        kKilled, "");
}

TEST(LockedMemoryDeathTest, SealedPagesAreReadOnly) {
    auto memory = make(kSecret);
    volatile std::byte *first = memory.writable().data();
    ASSERT_TRUE(memory.seal());

    EXPECT_EQ(memory.view(kSecret.size()), kSecret);
    EXPECT_TRUE(memory.writable().empty());
    EXPECT_TRUE(has_flag(mapping_of(memory.view(1).data()), "r--p"));
    EXPECT_EQ(has_flag(mapping_of(memory.view(1).data()), "lo"), kMlockIsReal);
    EXPECT_EXIT(
        {
            allow_death();
            *first = std::byte{1};
        },
        kKilled, "");
}

TEST(LockedMemory, IsZeroedBeforeItIsUnmapped) {
    for (bool sealed : {false, true}) {
        SCOPED_TRACE(sealed ? "sealed" : "not sealed");
        int unmapped = 0;
        {
            auto memory = make(kSecret);
            auto page =
                reinterpret_cast<const char *>(memory.writable().data());
            if (sealed) {
                ASSERT_TRUE(memory.seal());
            }
            on_unmap = [&, page](void *base, std::size_t size) {
                if (base != page - page_size()) {
                    return;
                }
                unmapped++;
                EXPECT_EQ(size, 3 * page_size());
                EXPECT_EQ(std::string(page, page_size()),
                          std::string(page_size(), '\0'));
            };
        }
        on_unmap = nullptr;
        EXPECT_EQ(unmapped, 1);
    }
}

// Reads this process's memory the way another process would.
bool can_be_read_from_outside(const void *address) {
    int fd = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
    char byte;
    auto at = static_cast<off_t>(reinterpret_cast<std::uintptr_t>(address));
    auto n = pread(fd, &byte, 1, at);
    close(fd);
    return n == 1;
}

TEST(LockedMemory, SecretMemoryCannotBeReadFromOutside) {
    auto memory = make(kSecret, Backing::secret);
    if (memory.backing() != Backing::secret) {
        GTEST_SKIP() << "this kernel has no memfd_secret(2)";
    }
    auto *pages = memory.writable().data();
    EXPECT_EQ(memory.view(kSecret.size()), kSecret);
    EXPECT_FALSE(can_be_read_from_outside(pages));
    EXPECT_TRUE(has_flag(mapping_of(pages), "dd"));
    EXPECT_EQ(mapping_of(pages - 1).substr(0, 4), "---p");
    EXPECT_EQ(mapping_of(pages + page_size()).substr(0, 4), "---p");
    ASSERT_TRUE(memory.seal());
    EXPECT_EQ(memory.view(kSecret.size()), kSecret);
    EXPECT_TRUE(memory.lock_again());

    auto locked = make(kSecret, Backing::locked);
    EXPECT_TRUE(can_be_read_from_outside(locked.view(1).data()));
}

TEST(LockedMemory, SecretMemoryOutlivesTheProcessThatMadeIt) {
    auto memory = make(kSecret, Backing::secret);
    int ready[2];
    ASSERT_EQ(pipe(ready), 0);
    auto pid = fork();
    if (pid == 0) {
        char byte;
        auto n = read(ready[0], &byte, 1);
        _exit(n == 1 && memory.view(kSecret.size()) == kSecret ? 0 : 1);
    }
    { LockedMemory gone{std::move(memory)}; }
    ASSERT_EQ(write(ready[1], "x", 1), 1);
    int status = 0;
    ASSERT_EQ(waitpid(pid, &status, 0), pid);
    EXPECT_EQ(status, 0);
    close(ready[0]);
    close(ready[1]);
}

TEST(LockedMemory, MovesWithoutMoving) {
    auto first = make(kSecret);
    auto at = first.view(1).data();
    LockedMemory second{std::move(first)};
    EXPECT_EQ(second.view(kSecret.size()), kSecret);
    EXPECT_EQ(second.view(1).data(), at);

    auto third = make("another");
    auto replaced = third.view(1).data();
    third = std::move(second);
    EXPECT_EQ(third.view(kSecret.size()), kSecret);
    EXPECT_EQ(mapping_of(replaced), "not mapped");

    auto &same = third;
    third = std::move(same);
    EXPECT_EQ(third.view(kSecret.size()), kSecret);
}

TEST(LockedMemory, ALockIsNotInheritedAndCanBeTakenAgain) {
    NEEDS_MLOCK();
    auto memory = make(kSecret);
    ASSERT_TRUE(memory.seal());
    EXPECT_TRUE(holds_in_child([&memory] {
        auto at = memory.view(1).data();
        auto was_locked = has_flag(mapping_of(at), "lo");
        return !was_locked && memory.lock_again() &&
               has_flag(mapping_of(at), "lo") &&
               memory.view(kSecret.size()) == kSecret;
    }));
}

// A master wipes its credential at a reload, while old workers still use it.
TEST(LockedMemory, WipingInTheParentLeavesTheChildAlone) {
    int pipe_fds[2];
    ASSERT_EQ(pipe(pipe_fds), 0);
    pid_t pid;
    {
        auto memory = make(kSecret);
        ASSERT_TRUE(memory.seal());
        pid = fork();
        if (pid == 0) {
            close(pipe_fds[1]);
            char c;
            auto end = read(pipe_fds[0], &c, 1);
            _exit(end == 0 && memory.view(kSecret.size()) == kSecret ? 0 : 1);
        }
    }
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

TEST(LockedMemory, ATooSmallLimitIsAnError) {
    NEEDS_MLOCK();
    EXPECT_TRUE(holds_in_child([] {
        rlimit none{0, 0};
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 ||
            (geteuid() == 0 && setuid(65534) != 0)) {
            return false;
        }
        auto memory = LockedMemory::create(1);
        return !memory &&
               (memory.error() == EPERM || memory.error() == ENOMEM);
    }));
}

TEST(LockedMemory, AnAbsurdSizeIsAnError) {
    for (auto bytes : {SIZE_MAX, SIZE_MAX - 2 * page_size(), SIZE_MAX / 2}) {
        auto memory = LockedMemory::create(bytes);
        ASSERT_FALSE(memory);
        EXPECT_EQ(memory.error(), ENOMEM);
    }
}

}  // namespace
}  // namespace keystile
