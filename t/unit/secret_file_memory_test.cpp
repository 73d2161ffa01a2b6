// Where a key is once it has been read, and where it is not.

#include "secret_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "mlock_is_real.hpp"
#include "secret_file_site.hpp"

namespace keystile {
namespace {

TEST_F(SecretFile, NoLockedMemory) {
    NEEDS_MLOCK();
    auto pid = fork();
    if (pid == 0) {
        rlimit none{0, 0};
        auto uid = geteuid() == 0 ? kNobody : geteuid();
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 ||
            chown(path.c_str(), uid, static_cast<gid_t>(-1)) != 0 ||
            chmod(directory.c_str(), 0755) != 0 || setuid(uid) != 0) {
            _exit(2);
        }
        options.owner = uid;
        refused(path, Rule::lockable_memory, path);
        EXPECT_NE(error.error_number, 0);
        _exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

// What was moved or dropped leaves nothing behind the line.
TEST_F(SecretFile, NothingFollowsTheLine) {
    auto line = read(write("long", "Bearer    " + std::string(300, 'k')));
    ASSERT_TRUE(line);
    auto end = line->line().data() + line->line().size();
    auto page = reinterpret_cast<std::uintptr_t>(end) & ~std::uintptr_t{4095};
    auto rest = reinterpret_cast<const char *>(page + 4096) - end;
    EXPECT_GT(rest, 1000);
    EXPECT_TRUE(std::all_of(end, end + rest, [](char c) { return c == 0; }));
}

// No copy of a key is left anywhere in the process once it has been read, but
// in the mapping.
TEST_F(SecretFile, ThereIsOneCopyOnly) {
    // Made so that this test does not hold the key itself.
    auto unlikely = [](std::size_t i) {
        return static_cast<char>('A' + ((i + 1) * 2654435761 >> 13) % 26);
    };
    auto fd = open((directory + "/one").c_str(), O_WRONLY | O_CREAT, 0600);
    for (char c : {'b', 'E', 'a', 'r', 'e', 'r', ' '}) {
        ASSERT_EQ(::write(fd, &c, 1), 1);
    }
    for (std::size_t i = 0; i < 64; i++) {
        auto c = unlikely(i);
        ASSERT_EQ(::write(fd, &c, 1), 1);
    }
    close(fd);

    auto line = read(directory + "/one");
    ASSERT_TRUE(line);
    ASSERT_EQ(line->value().size(), 64u);

    int copies = 0;
    auto memory = open("/proc/self/mem", O_RDONLY);
    std::ifstream maps{"/proc/self/maps"};
    std::string map;
    auto needle = line->value().substr(40);  // the end, moved over "bearer "
    while (std::getline(maps, map)) {
        std::uintptr_t start;
        std::uintptr_t end;
        char flags[5];
        ASSERT_EQ(sscanf(map.c_str(), "%lx-%lx %4s", &start, &end, flags), 3);
        if (flags[0] != 'r' || end - start > (std::size_t{1} << 32)) {
            continue;
        }
        auto size = end - start;
        auto buffer = static_cast<char *>(malloc(size));
        auto n = pread(memory, buffer, size, static_cast<off_t>(start));
        for (auto at = buffer; n > 0;) {
            auto left = static_cast<std::size_t>(buffer + n - at);
            auto hit = memmem(at, left, needle.data(), needle.size());
            if (hit == nullptr) {
                break;
            }
            copies++;
            at = static_cast<char *>(hit) + 1;
        }
        if (n > 0) {
            explicit_bzero(buffer, static_cast<std::size_t>(n));
        }
        free(buffer);
    }
    close(memory);
    // Secret memory does not even show itself.
    bool is_secret = line->backing().starts_with("secret");
    EXPECT_EQ(copies, is_secret ? 0 : 1);
}

}  // namespace
}  // namespace keystile
