// Keeping other processes of the same user out of this one's memory.
//
// Linux lets a process of the same user attach to, or read the memory of, one
// that is "dumpable" (ptrace(2), PR_SET_DUMPABLE in prctl(2)). nginx makes its
// workers dumpable right after they have given up root, so that they can leave
// core files; where a worker holds a credential, that would hand the
// credential to everything that runs as www-data.

#pragma once

namespace keystile {

// Makes the process not dumpable. Children inherit that over fork(2); execve
// and a change of user undo it. Returns errno, 0 on success.
int forbid_dumping() noexcept;

// Undoes it.
int allow_dumping() noexcept;

// Sets the soft and the hard limit of core files to 0. Returns errno.
int forbid_core_files() noexcept;

// Rules out that an execve ever gives more privileges (PR_SET_NO_NEW_PRIVS),
// for good, children included. Returns errno.
int forbid_new_privileges() noexcept;

// Makes prctl(PR_SET_DUMPABLE, 1) succeed without effect from now on, in this
// process and its children, over execve as well: a seccomp filter, for which
// no privilege is needed once no-new-privileges is set. Every other system
// call is as before. Returns errno; ENOSYS where the kernel or the machine is
// none that we know.
int pin_not_dumpable() noexcept;

// Whether the program binds functions at their first call: not linked with
// -z now, and no LD_BIND_NOW. glibc then writes all vector registers to the
// stack, and what was last copied in them may be a part of a key.
bool binds_lazily() noexcept;

}  // namespace keystile
