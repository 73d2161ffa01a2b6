// The version of keystile, as CHANGES has it.

#pragma once

#include <string_view>

namespace keystile {

inline constexpr std::string_view kVersion = "0.1.0";

}  // namespace keystile
