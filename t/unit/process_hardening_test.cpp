#include "process_hardening.hpp"

#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

namespace keystile {
namespace {

// What these functions do cannot be undone, so each runs in a child.
template <typename Test>
bool holds_in_child(Test test) {
    auto pid = fork();
    if (pid == 0) {
        _exit(test() ? 0 : 1);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int dumpable() { return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0); }

bool set_dumpable(unsigned long value) {
    return prctl(PR_SET_DUMPABLE, value, 0, 0, 0) == 0;
}

TEST(ProcessHardening, Dumping) {
    EXPECT_TRUE(holds_in_child([] {
        return set_dumpable(1) && forbid_dumping() == 0 && dumpable() == 0 &&
               allow_dumping() == 0 && dumpable() == 1;
    }));
}

// As the Makefile links it.
TEST(ProcessHardening, ThisProgramBindsLazily) {
    ASSERT_EQ(unsetenv("LD_BIND_NOW"), 0);
    EXPECT_TRUE(binds_lazily());
    ASSERT_EQ(setenv("LD_BIND_NOW", "1", 1), 0);
    EXPECT_FALSE(binds_lazily());
}

TEST(ProcessHardening, CoreFiles) {
    EXPECT_TRUE(holds_in_child([] {
        rlimit limit{1, 1};
        return forbid_core_files() == 0 &&
               getrlimit(RLIMIT_CORE, &limit) == 0 && limit.rlim_cur == 0 &&
               limit.rlim_max == 0;
    }));
}

TEST(ProcessHardening, NewPrivileges) {
    EXPECT_TRUE(holds_in_child([] {
        return forbid_new_privileges() == 0 &&
               prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    }));
}

// nginx's own call, after the change of user, must not open what was closed;
// and nothing but that is to change.
TEST(ProcessHardening, NotDumpableForGood) {
    EXPECT_TRUE(holds_in_child([] {
        if (forbid_dumping() != 0 || forbid_new_privileges() != 0 ||
            pin_not_dumpable() != 0) {
            return false;
        }
        bool pinned = set_dumpable(1) && dumpable() == 0;
        bool others = prctl(PR_SET_NAME, "renamed", 0, 0, 0) == 0 &&
                      set_dumpable(0) && !set_dumpable(7) && getpid() > 0;
        bool inherited =
            holds_in_child([] { return set_dumpable(1) && dumpable() == 0; });
        return pinned && others && inherited;
    }));
}

TEST(ProcessHardening, APinNeedsNoPrivileges) {
    EXPECT_TRUE(holds_in_child([] {
        if (geteuid() == 0 && setuid(65534) != 0) {
            return false;
        }
        return forbid_dumping() == 0 && forbid_new_privileges() == 0 &&
               pin_not_dumpable() == 0 && set_dumpable(1) && dumpable() == 0;
    }));
}

}  // namespace
}  // namespace keystile
