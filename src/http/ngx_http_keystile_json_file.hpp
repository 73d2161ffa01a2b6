// JSON files that directives name.

#pragma once

#include "ngx/nginx.hpp"

#include "core/json_file.hpp"

namespace keystile {

// The whole file, in memory that goes with the parse of the configuration.
// Data is null after an error, which is logged: it cannot be read, or is
// larger than `most` bytes.
ngx_str_t read_json_file(ngx_conf_t *cf, ngx_str_t &name,
                         std::size_t most) noexcept;

// Memory of a pool, for what is read from a file.
Allocator allocator_of(ngx_pool_t *pool) noexcept;

}  // namespace keystile
