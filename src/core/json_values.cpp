#include "json_values.hpp"

#include <algorithm>
#include <cmath>

#include "ascii.hpp"
#include "model_pattern.hpp"

namespace keystile {

// A number that is read is the double next to what is written. So is the
// quotient below to the decimal fraction: they are the same or the text has
// more decimals.
std::optional<std::uint64_t> read_usd(const json_t *value) noexcept {
    auto usd = json_number_value(value);
    if (!json_is_number(value) || !(usd >= 0 && usd <= 1e6)) {
        return std::nullopt;
    }
    auto millionths = std::llround(usd * 1e6);
    if (static_cast<double>(millionths) / 1e6 != usd) {
        return std::nullopt;
    }
    return static_cast<std::uint64_t>(millionths);
}

bool read_model_pattern(JsonFileReader &file, const JsonElement &value,
                        std::string_view &to) noexcept {
    if (!json_is_string(value.json) ||
        !is_model_pattern(text_of(value.json))) {
        return file.fail(value, {"a pattern for models must be a string of 1 "
                                 "to 64 printable ASCII characters without "
                                 "spaces, quotes and backslashes"});
    }
    return file.copy(text_of(value.json), to);
}

bool DistinctPatterns::read(JsonFileReader &file, const JsonElement &value,
                            std::string_view &to) noexcept {
    if (!read_model_pattern(file, value, to)) {
        return false;
    }
    char name[65]{};  // a pattern, and NUL
    std::transform(to.begin(), to.end(), name,
                   [](char c) { return lower(c); });
    if (json_object_get(seen_.get(), name) != nullptr) {
        return file.fail(value, {"a pattern for models is listed twice"});
    }
    return json_object_set_new(seen_.get(), name, json_true()) == 0 ||
           file.fail_for_lack_of_memory();
}

}  // namespace keystile
