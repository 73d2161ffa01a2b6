// Reading a client-key file: JSON, of this form.
//
//   { "version": 1,
//     "clients": [
//       { "id": "ci-runner",
//         "keys": ["sha256:<64 hex digits>", ...],
//         "expires": "2027-01-31T00:00:00Z",
//         "disabled": false,
//         "from": ["10.0.0.0/8", ...],
//         "allow": ["POST /v1/responses", ...] } ] }
//
// `id` and `keys` are required. An id is 1 to 128 of the characters
// [A-Za-z0-9._@-], since it goes into logs, variables and metrics as it is. A
// key is the SHA-256 of what the client sends. No list may be empty: one that
// is could be read as "all" or as "none". Ids and keys are unique in the file.
// What is not known here is an error, and so is what is not supported yet: a
// limit that cannot take effect must not look configured.

#pragma once

#include <cstddef>
#include <string_view>

#include "client_keys.hpp"
#include "result.hpp"

namespace keystile {

// Memory for a result, released by its owner as a whole (an nginx pool).
// allocate() returns null when there is none left.
struct Allocator {
    void *(*allocate)(void *context, std::size_t bytes,
                      std::size_t alignment) noexcept;
    void *context;
};

struct ClientFileError {
    int line;    // from 1; 0 where no place in the text is to blame
    int column;  // from 1, in code points
    // NUL-terminated. Names members and ids, never a key or the hash of one,
    // nor anything that was written where a key belongs.
    char message[256];
};

// The largest client-key file, in bytes.
inline constexpr std::size_t kMaxClientFileSize =
    std::size_t{64} * 1024 * 1024;

// The result holds views into allocated memory only, none into the text.
// Allocates at most 64 bytes for each byte of the text, also on failure.
Result<ClientKeys, ClientFileError> parse_client_file(
    std::string_view json_text, Allocator allocator) noexcept;

}  // namespace keystile
