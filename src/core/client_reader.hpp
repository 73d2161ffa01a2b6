// From the JSON tree of a client-key file to its clients, the part of
// client_file.hpp that begins where the syntax is right.

#pragma once

#include <initializer_list>
#include <string_view>

#include "client_file.hpp"
#include "json_element.hpp"

namespace keystile {

// Requires that `root` was made from `text`, in which errors are located.
Result<ClientKeys, ClientFileError> read_clients(json_t *root,
                                                 std::string_view text,
                                                 Allocator allocator) noexcept;

// Puts the parts together, as far as there is room for them.
void write_message(ClientFileError &error,
                   std::initializer_list<std::string_view> parts) noexcept;

}  // namespace keystile
