// What holds of every reader of a configuration file in JSON.

#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "check.hpp"
#include "json_file.hpp"

namespace keystile {

// Gives blocks of exactly the size that was asked for, up to a limit.
struct Arena {
    static void *allocate(void *context, std::size_t bytes,
                          std::size_t) noexcept {
        auto &arena = *static_cast<Arena *>(context);
        if (bytes > arena.limit - arena.used) {
            return nullptr;
        }
        arena.used += bytes;
        arena.blocks.emplace_back(std::malloc(bytes), std::free);
        return arena.blocks.back().get();
    }

    std::size_t limit;
    std::size_t used = 0;
    std::vector<std::unique_ptr<void, decltype(&std::free)>> blocks{};
};

inline void check_error(const JsonFileError &error, std::string_view text) {
    auto end = std::find(error.message, std::end(error.message), '\0');
    check(end != std::end(error.message), "a message ends");
    std::string_view message{error.message, end};
    check(!message.empty(), "a message says something");

    auto lines = std::count(text.begin(), text.end(), '\n') + 1;
    check(error.line >= 0 && error.line <= lines, "the line exists");
    check((error.line == 0) == (message == "out of memory") || error.line != 0,
          "every other error has a place");

    for (char c : message) {
        check(c >= 0x20 && c < 0x7F, "a message is plain text");
    }
    auto hash = message.find("sha256:");
    check(hash == std::string_view::npos || message[hash + 7] == '"',
          "no hash is shown");
}

}  // namespace keystile
