#include "process_hardening.hpp"

#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdlib>

namespace keystile {
namespace {

#if defined(__x86_64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr unsigned kArchitecture = AUDIT_ARCH_AARCH64;
#else
constexpr unsigned kArchitecture = 0;
#endif

int result_of(int rc) noexcept { return rc == 0 ? 0 : errno; }

// The low halves of the arguments: both machines are little-endian, and the
// kernel reads both as int.
constexpr auto kOption =
    static_cast<unsigned>(offsetof(seccomp_data, args[0]));
constexpr auto kValue = static_cast<unsigned>(offsetof(seccomp_data, args[1]));
constexpr auto kNumber = static_cast<unsigned>(offsetof(seccomp_data, nr));
constexpr auto kMachine = static_cast<unsigned>(offsetof(seccomp_data, arch));

constexpr sock_filter load(unsigned offset) noexcept {
    return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset);
}

// Goes on when the loaded word is `value`, else skips `otherwise` steps.
constexpr sock_filter go_on_if(unsigned value,
                               unsigned char otherwise) noexcept {
    return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, otherwise);
}

constexpr sock_filter finish(unsigned action) noexcept {
    return BPF_STMT(BPF_RET | BPF_K, action);
}

}  // namespace

int forbid_dumping() noexcept {
    return result_of(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
}

int allow_dumping() noexcept {
    return result_of(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

int forbid_core_files() noexcept {
    rlimit none{0, 0};
    return result_of(setrlimit(RLIMIT_CORE, &none));
}

int forbid_new_privileges() noexcept {
    return result_of(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

int pin_not_dumpable() noexcept {
    if (kArchitecture == 0) {
        return ENOSYS;
    }

    std::array<sock_filter, 10> program{
        load(kMachine),
        go_on_if(kArchitecture, 7),
        load(kNumber),
        go_on_if(__NR_prctl, 5),
        load(kOption),
        go_on_if(PR_SET_DUMPABLE, 3),
        load(kValue),
        go_on_if(1, 1),
        finish(SECCOMP_RET_ERRNO | 0),  // "done", and nothing is
        finish(SECCOMP_RET_ALLOW),
    };
    sock_fprog filter{program.size(), program.data()};

    if (int error = forbid_new_privileges(); error != 0) {
        return error;
    }
    // Without SPEC_ALLOW, older kernels would also turn a speculation
    // mitigation on, which makes all code of the process slower.
    return result_of(
        static_cast<int>(syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER,
                                 SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter)));
}

#if defined(__GLIBC__)

namespace {

// Of the program, which is the first that is told of.
int look_at_program(dl_phdr_info *info, std::size_t, void *result) noexcept {
    auto &lazy = *static_cast<bool *>(result);
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const auto &header = info->dlpi_phdr[i];
        if (header.p_type != PT_DYNAMIC) {
            continue;
        }
        const auto *entry =
            std::bit_cast<const ElfW(Dyn) *>(info->dlpi_addr + header.p_vaddr);
        bool now = false;
        for (; entry->d_tag != DT_NULL; entry++) {
            auto flags = entry->d_un.d_val;
            lazy = lazy || entry->d_tag == DT_JMPREL;
            now = now || entry->d_tag == DT_BIND_NOW ||
                  (entry->d_tag == DT_FLAGS && (flags & DF_BIND_NOW) != 0) ||
                  (entry->d_tag == DT_FLAGS_1 && (flags & DF_1_NOW) != 0);
        }
        lazy = lazy && !now;
    }
    return 1;
}

}  // namespace

bool binds_lazily() noexcept {
    const char *bind_now = std::getenv("LD_BIND_NOW");
    bool lazy = false;
    dl_iterate_phdr(look_at_program, &lazy);
    return lazy && (bind_now == nullptr || *bind_now == '\0');
}

#else

bool binds_lazily() noexcept { return false; }

#endif

}  // namespace keystile
