// Text of others within a format of ours: always UTF-8, whatever it was.

#pragma once

#include <cstddef>
#include <string_view>

#include "text_sink.hpp"

namespace keystile {

// How many bytes the code point has that `text` begins with; 0 if that is not
// one (RFC 3629 section 4), or `text` is empty.
std::size_t utf8_size(std::string_view text) noexcept;

// Puts `text` with each byte that `escape_of` has an escape for replaced by
// it: a function from char to string_view, empty for bytes that stand for
// themselves. It is asked of ASCII only. A byte that is no part of a code
// point becomes U+FFFD.
template <typename EscapeOf>
void put_escaped(TextSink &sink, std::string_view text,
                 EscapeOf escape_of) noexcept {
    std::size_t plain = 0;  // bytes that can go as they are
    while (plain < text.size()) {
        auto size = utf8_size(text.substr(plain));
        std::string_view escape;
        if (size == 0) {
            escape = "\xEF\xBF\xBD";
        } else if (size == 1) {
            escape = escape_of(text[plain]);
        }
        if (escape.empty()) {
            plain += size;
            continue;
        }
        sink.put(text.substr(0, plain));
        sink.put(escape);
        text.remove_prefix(plain + 1);
        plain = 0;
    }
    sink.put(text);
}

}  // namespace keystile
