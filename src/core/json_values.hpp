// Values that configuration files in JSON have in common.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "json_file_reader.hpp"

namespace keystile {

// US dollars as files state them: a number from 0 to 1,000,000 with at most 6
// decimals, in millionths. Nothing where it is not one; no rounding.
std::optional<std::uint64_t> read_usd(const json_t *value) noexcept;

// A pattern for models (model_pattern.hpp), copied into the file's memory.
// Returns false once it has set the file's error.
bool read_model_pattern(JsonFileReader &file, const JsonElement &value,
                        std::string_view &to) noexcept;

// The patterns of a list, of which none may be there twice, in either case.
class DistinctPatterns {
public:
    // read_model_pattern() of the next item.
    bool read(JsonFileReader &file, const JsonElement &value,
              std::string_view &to) noexcept;

private:
    Json seen_{json_object()};
};

}  // namespace keystile
