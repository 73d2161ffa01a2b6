// Reading a price file: JSON, of this form.
//
//   { "version": 1,
//     "models": [
//       { "model": "gpt-5*", "input": 1.25, "cached_input": 0.125,
//         "cache_write": 1.25, "output": 10 } ] }
//
// Prices are US dollars for a million tokens: numbers from 0 to 1,000,000 with
// at most 6 decimals. `model` is a pattern (model_pattern.hpp), unique in the
// file in either case. `model`, `input` and `output` are required; what is
// read from a cache and what is put in one costs what input does unless the
// file says otherwise. What is not known here is an error.

#pragma once

#include <cstddef>
#include <string_view>

#include "json_file.hpp"
#include "price_table.hpp"
#include "result.hpp"

namespace keystile {

using PriceFileError = JsonFileError;

// The largest price file, in bytes.
inline constexpr std::size_t kMaxPriceFileSize = std::size_t{1} * 1024 * 1024;

// The result holds views into allocated memory only, none into the text.
// Allocates at most 64 bytes for each byte of the text, also on failure.
Result<PriceTable, PriceFileError> parse_price_file(
    std::string_view json_text, Allocator allocator) noexcept;

}  // namespace keystile
