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

}  // namespace keystile
