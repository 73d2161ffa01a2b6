// The body of a turn for its line: without its codings, and as a JSON value.

#pragma once

#include <cstddef>
#include <string_view>

#include "heap_text.hpp"
#include "record_bytes.hpp"

namespace keystile {

struct RecordBody {
    // Removes the codings of a Content-Encoding; to `most` bytes at most. Of
    // what is cut off, the last `margin` bytes go, too.
    void unpack(const RecordBytes &bytes, std::string_view encoding,
                std::size_t most, std::size_t margin) noexcept;

    HeapText text;
    bool is_broken = false;  // a coding that is not known, or not kept to
    bool is_cut = false;     // there is more of it
};

// What is no JSON as a string, and what is not UTF-8 either as an object:
// {"base64":"..."}.
void put_as_text(std::string_view text, TextSink &sink) noexcept;

}  // namespace keystile
