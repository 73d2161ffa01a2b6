// What a fuzz target asserts: a property that fails ends the process, which a
// fuzzer takes for a crash.

#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *bytes,
                                      std::size_t size);

inline void check(bool holds, const char *property) {
    if (!holds) {
        std::fprintf(stderr, "does not hold: %s\n", property);
        std::abort();
    }
}

inline std::string_view text_of(const std::uint8_t *bytes, std::size_t size) {
    return {reinterpret_cast<const char *>(bytes), size};
}

// Calls visit(name, value) for each line of a header block, whatever ends the
// line, as a careless parser would: a value may hold any other byte.
template <typename Visit>
void for_each_header(std::string_view block, Visit visit) {
    while (!block.empty()) {
        auto end = block.find('\n');
        auto line = block.substr(0, end);
        block.remove_prefix(end == std::string_view::npos ? block.size()
                                                          : end + 1);
        auto colon = line.find(':');
        visit(line.substr(0, colon), colon == std::string_view::npos
                                         ? std::string_view{}
                                         : line.substr(colon + 1));
    }
}
