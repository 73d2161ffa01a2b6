// Whether a Content-Type says that a body is JSON, in UTF-8: RFC 9110 section
// 8.3, RFC 8259 section 11 and, of "+json", RFC 6839 section 3.1.

#pragma once

#include <string_view>

namespace keystile {

// "application/json" or "application/...+json", in any case. Of
// parameters there may be `charset`, and only with the value "utf-8", in any
// case, quoted or not: others could have it read as something else.
bool is_json_type(std::string_view value) noexcept;

}  // namespace keystile
