// Reading a credential file.
//
// The rules (a file that breaks one is refused, and the error names it):
//   - the path is absolute; each directory and symbolic link of its real path
//     is owned by root or by the starting user, and no directory is writable
//     by group or others, unless it is sticky, as /tmp is: then only the
//     owners of its entries, which are checked, can replace them. Links are
//     followed, at most 40, as the mounts of Kubernetes need it;
//   - the file is a regular one, owned by root or the starting user, with no
//     access for group and others; `relaxed` allows them to read it, with a
//     warning, as Docker secrets need it, but never to write. An ACL that
//     gives access shows as group access, and is refused the same way;
//   - it holds 1 to 16384 bytes (an auth.json up to 65536), and is not seen to
//     change while it is read (a file that is written in place can still be
//     read half written; one that is replaced by rename(2) cannot);
//   - the content is one line, of which a trailing LF or CRLF is dropped; a
//     scheme that slipped in ("Bearer ", "token ") is removed, with a warning;
//   - what remains is not empty, printable ASCII without spaces (0x21..0x7E),
//     and no known placeholder (placeholder.hpp).
// Instead of the last two, an auth.json has its own (codex_auth.hpp).
//
// The walk holds a descriptor of each directory and looks at what it has
// opened, so exchanging a part of the path meanwhile gains nothing. FIFOs and
// devices are not opened for reading, and so neither hang nor act.

#pragma once

#include <sys/types.h>

#include "codex_auth.hpp"
#include "placeholder.hpp"
#include "result.hpp"
#include "secret_file_error.hpp"
#include "secret_line.hpp"

namespace keystile {

struct SecretFileOptions {
    bool relaxed = false;
    uid_t owner = 0;  // the starting user; root is always trusted as well
};

// What was accepted but should be mended. Only ever set, never cleared.
struct SecretFileWarnings {
    bool accessible_by_others = false;  // only where relaxed
    bool scheme_removed = false;
};

// Requires path to be NUL-terminated.
Result<SecretLine, SecretFileError> read_secret_file(
    const char *path, const HeaderLineFormat &format,
    const SecretFileOptions &options, SecretFileWarnings &warnings) noexcept;

// The same of an auth.json, whose content has other rules (codex_auth.hpp).
// `warnings.scheme_removed` is never set.
Result<CodexAuth, SecretFileError> read_codex_auth_file(
    const char *path, const SecretFileOptions &options,
    SecretFileWarnings &warnings) noexcept;

// Reads a descriptor such as standard input to its end; the rules for the
// path and the file do not apply, those for the content do. The descriptor
// stays open. Blocks until the writer closes.
Result<SecretLine, SecretFileError> read_secret_fd(
    int fd, const HeaderLineFormat &format,
    SecretFileWarnings &warnings) noexcept;

}  // namespace keystile
