// Patterns for names of models: "gpt-5", "gpt-5*", "*-mini".

#pragma once

#include <string_view>

namespace keystile {

// 1 to 64 printable ASCII bytes without space, '"' and '\', in which "*"
// stands for any number of any bytes, none too.
bool is_model_pattern(std::string_view text) noexcept;

// Letters match in either case: whether a provider tells them apart is not
// known, and neither a limit nor a rule may hang on it. Takes time that grows
// with the product of the lengths at worst.
bool model_matches(std::string_view pattern, std::string_view name) noexcept;

// Whether these are names of one model, of which one may have a date behind it,
// of four digits at least, that the other leaves out ("gpt-5",
// "gpt-5-2025-08-07"), in either case.
bool are_one_model(std::string_view a, std::string_view b) noexcept;

}  // namespace keystile
