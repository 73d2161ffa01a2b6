// The request target of an HTTP request, as it was sent.
//
// What is matched is what is forwarded, byte for byte, so nothing is ever
// normalised here: a target that a provider could read in another way than
// our rules do is refused instead (RFC 3986 sections 2.1, 2.3 and 5.2.4;
// RFC 9112 section 3.2).

#pragma once

#include <string_view>

#include "result.hpp"

namespace keystile {

// Views into the raw target; they live as long as it does.
struct RequestTarget {
    std::string_view path;   // begins with '/'
    std::string_view query;  // without the '?'
    bool has_query = false;  // true for a bare '?' too
};

enum class TargetFault : unsigned char {
    not_origin_form,  // does not start with one '/'
    forbidden_byte,   // a control byte, '#', space or a byte over 0x7E
    empty_segment,    // "//"
    dot_segment,      // "." or ".."
    separator,        // '\' or ';' in the path
    broken_escape,    // '%' without two hexadecimal digits
    needless_escape,  // of an unreserved or path-changing or control byte
};

// A sentence for the error log.
std::string_view describe(TargetFault fault) noexcept;

// Requires nothing of `raw`. Returns its parts, or the first fault found.
Result<RequestTarget, TargetFault> parse_request_target(
    std::string_view raw) noexcept;

}  // namespace keystile
