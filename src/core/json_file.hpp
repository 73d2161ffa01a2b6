// What all readers of configuration files in JSON take and give back.

#pragma once

#include <cstddef>

namespace keystile {

// Memory for a result, released by its owner as a whole (an nginx pool).
// allocate() returns null when there is none left.
struct Allocator {
    void *(*allocate)(void *context, std::size_t bytes,
                      std::size_t alignment) noexcept;
    void *context;
};

struct JsonFileError {
    int line;    // from 1; 0 where no place in the text is to blame
    int column;  // from 1, in code points
    // NUL-terminated. Names members and ids, never a key or the hash of one,
    // nor anything that was written where a key belongs.
    char message[256];
};

}  // namespace keystile
