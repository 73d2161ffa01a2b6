// Reading a client-key file: JSON, of this form.
//
//   { "version": 1,
//     "clients": [
//       { "id": "ci-runner",
//         "keys": ["sha256:<64 hex digits>", ...],
//         "expires": "2027-01-31T00:00:00Z",
//         "disabled": false,
//         "from": ["10.0.0.0/8", ...],
//         "allow": ["POST /v1/responses", ...],
//         "models": ["gpt-5*", ...],
//         "limits": [{ "requests": 60, "per": "minute" }, ...] } ] }
//
// `id` and `keys` are required. An id is 1 to 128 of the characters
// [A-Za-z0-9._@-], since it goes into logs, variables and metrics as it is. A
// key is the SHA-256 of what the client sends. No list may be empty: one that
// is could be read as "all" or as "none". Ids and keys are unique in the file.
//
// `models` are patterns (model_pattern.hpp), of which none is there twice. Up
// to kMostLimits limits each have one of `requests`, `tokens` and
// `concurrent`, an integer from 1 to 10^15, or `usd`, a number above 0 up to
// 1,000,000 with at most 6 decimals; all but `concurrent`, which cannot have
// it, have `per`: minute, hour, day, week or month; `model` is a pattern. No
// two have the same kind, period and model.
//
// What is not known here is an error, and so is a limit for one model that
// `models` leave out: a limit that cannot take effect must not look
// configured.

#pragma once

#include <cstddef>
#include <string_view>

#include "client_keys.hpp"
#include "json_file.hpp"
#include "result.hpp"

namespace keystile {

using ClientFileError = JsonFileError;

// The largest client-key file, in bytes.
inline constexpr std::size_t kMaxClientFileSize =
    std::size_t{64} * 1024 * 1024;

// The result holds views into allocated memory only, none into the text.
// Allocates at most 64 bytes for each byte of the text, also on failure.
Result<ClientKeys, ClientFileError> parse_client_file(
    std::string_view json_text, Allocator allocator) noexcept;

}  // namespace keystile
