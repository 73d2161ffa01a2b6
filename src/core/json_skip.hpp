// Passing over one JSON string, array or object whose content is not wanted,
// from pieces of text that end anywhere.
//
// What is valid JSON is left where it ends. What is not may end elsewhere:
// only quotes, escapes and the number of brackets are looked at.

#pragma once

#include <cstddef>
#include <string_view>

namespace keystile {

class JsonSkip {
public:
    // What comes next stands after an opening quote.
    void start_string() noexcept {
        depth_ = 0;
        in_string_ = true;
        escaped_ = false;
    }

    // What comes next stands after an opening bracket of either kind.
    void start_container() noexcept {
        depth_ = 1;
        in_string_ = false;
        escaped_ = false;
    }

    // Removes from `piece` what belongs to the value, and returns whether it
    // ended there.
    bool take(std::string_view &piece) noexcept;

private:
    std::size_t depth_ = 0;  // brackets that are open
    bool in_string_ = false;
    bool escaped_ = false;  // the next byte, by the last one
};

}  // namespace keystile
