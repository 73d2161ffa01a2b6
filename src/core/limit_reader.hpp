// What an entry of a client-key file says of models and limits
// (client_file.hpp). Each function returns false once it has set the error.

#pragma once

#include "client_keys.hpp"
#include "json_file_reader.hpp"

namespace keystile {

bool read_models(JsonFileReader &file, const JsonElement &list,
                 Client &client) noexcept;

bool read_limits(JsonFileReader &file, const JsonElement &list,
                 Client &client) noexcept;

// Fails for a limit of one model that is none of the client's. Requires that
// the client was read from the object.
bool check_limits(JsonFileReader &file, const JsonElement &object,
                  const Client &client) noexcept;

}  // namespace keystile
