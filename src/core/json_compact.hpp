// A whole JSON text (RFC 8259) as it is, in one line.

#pragma once

#include <cstddef>
#include <string_view>

#include "text_sink.hpp"

namespace keystile {

// Arrays and objects in one another. jq 1.6 reads 256.
inline constexpr std::size_t kDeepestJson = 240;

// Puts `text` without the white space between its tokens, and otherwise byte
// for byte: numbers, escapes and the order of members are as they were. False
// if it is not one JSON text in UTF-8, or too deep; some of it has been put by
// then.
bool put_compact_json(std::string_view text, TextSink &sink) noexcept;

}  // namespace keystile
