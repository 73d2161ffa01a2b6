// The request target that goes to the provider.
//
// Without to=, the path and query that were matched, byte for byte. With it,
// that path, with "*" and "**" replaced by what they matched, then the
// client's query, then the fixed arguments. A base path (from keystile_pass)
// comes first, unless the path lies under it already.

#pragma once

#include <cstddef>
#include <string_view>

#include "rules.hpp"

namespace keystile {

struct UpstreamTarget {
    std::string_view base;  // "/v1", no slash at the end; may be empty
    const Rule *rule;       // matches target.path
    RequestTarget target;

    // Bytes that write() will write.
    std::size_t size() const noexcept;

    // Requires size() bytes at `out`; returns the end of what it wrote.
    char *write(char *out) const noexcept;
};

}  // namespace keystile
