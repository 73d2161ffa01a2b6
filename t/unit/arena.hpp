// Memory for tests of what allocates as from a pool.

#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <vector>

#include "json_file.hpp"

namespace keystile {

// Hands out blocks like a pool, exactly as large as asked for, so that
// AddressSanitizer sees each overrun.
class Arena {
public:
    Allocator allocator() { return {allocate, this}; }

    std::size_t used = 0;
    std::size_t limit = SIZE_MAX;

private:
    static void *allocate(void *context, std::size_t bytes,
                          std::size_t alignment) noexcept {
        auto &arena = *static_cast<Arena *>(context);
        if (arena.used + bytes > arena.limit) {
            return nullptr;
        }
        arena.used += bytes;
        EXPECT_LE(alignment, alignof(std::max_align_t));
        arena.blocks_.emplace_back(std::malloc(bytes), std::free);
        return arena.blocks_.back().get();
    }

    std::vector<std::unique_ptr<void, decltype(&std::free)>> blocks_;
};

}  // namespace keystile
