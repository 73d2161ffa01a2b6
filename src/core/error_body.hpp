// The JSON body of an error, in the shape that the caller's SDK expects.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "denial.hpp"

namespace keystile {

enum class ErrorShape : unsigned char {
    openai,     // {"error":{"message","type","param":null,"code"}}
    anthropic,  // {"type":"error","error":{"type","message"},"request_id"}
};

struct ErrorBody {
    ErrorShape shape;
    ErrorReply reply;
    std::string_view more;        // follows reply.message
    std::string_view request_id;  // "" leaves it out
    std::int64_t resets_at = 0;   // seconds since the epoch; 0 leaves it out

    // Bytes that write() will write.
    std::size_t size() const noexcept;

    // Requires size() bytes at `out`; returns the end of what it wrote.
    // Strings are escaped as RFC 8259 section 7 asks; bytes over 0x7E, which
    // no caller of ours passes, become '?'.
    char *write(char *out) const noexcept;
};

}  // namespace keystile
