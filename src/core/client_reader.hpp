// From the JSON tree of a client-key file to its clients, the part of
// client_file.hpp that begins where the syntax is right.

#pragma once

#include "client_file.hpp"
#include "json_file_reader.hpp"

namespace keystile {

// Requires that `root` was made from the text of the file.
Result<ClientKeys, ClientFileError> read_clients(
    json_t *root, JsonFileReader &file) noexcept;

}  // namespace keystile
