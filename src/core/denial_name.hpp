// Short names of denials for machines: what metrics, logs and state
// files are told apart by, so they never change.

#pragma once

#include <string_view>

#include "denial.hpp"

namespace keystile {

// As the enumerator is called: "missing_key".
std::string_view name_of(Denial denial) noexcept;

}  // namespace keystile
