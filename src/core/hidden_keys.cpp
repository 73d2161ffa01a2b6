#include "hidden_keys.hpp"

#include <algorithm>
#include <string_view>

namespace keystile {

void HiddenKeys::hide(std::span<char> text) noexcept {
    for (auto i = keys_.size(); i > 0; i--) {
        count_ += keys_[i - 1].blot_out(text);
    }
}

void HiddenKeys::hide_in_strings(std::span<char> json) noexcept {
    constexpr std::size_t kEscape = 2;   // a backslash, and what it is of
    constexpr std::size_t kUnicode = 6;  // \uXXXX
    std::string_view text{json.data(), json.size()};
    bool in_string = false;
    for (std::size_t at = 0; at < text.size();) {
        auto end = std::min(text.find_first_of("\"\\", at), text.size());
        if (in_string) {
            hide(json.subspan(at, end - at));
        }
        if (end == text.size()) {
            return;
        }
        if (text[end] == '"') {
            in_string = !in_string;
            at = end + 1;
        } else {
            at = end +
                 (text.substr(end + 1).starts_with('u') ? kUnicode : kEscape);
        }
    }
}

std::size_t HiddenKeys::longest() const noexcept {
    std::size_t size = 0;
    for (const auto &key : keys_) {
        size = std::max(size, key.size());
    }
    return size;
}

}  // namespace keystile
