#include "model_pattern.hpp"

#include <algorithm>

#include "ascii.hpp"

namespace keystile {

bool is_model_pattern(std::string_view text) noexcept {
    auto is_pattern_char = [](char c) {
        return c > ' ' && c <= '~' && c != '"' && c != '\\';
    };
    return !text.empty() && text.size() <= 64 &&
           std::all_of(text.begin(), text.end(), is_pattern_char);
}

// Each "*" first stands for nothing, and for one byte more whenever what
// follows it does not match. Only the last one need ever grow: that an earlier
// one took no more than it had to leaves the most for those after it.
bool model_matches(std::string_view pattern, std::string_view name) noexcept {
    constexpr auto none = std::string_view::npos;

    std::size_t at = 0;       // in the pattern
    std::size_t star = none;  // the last "*" before it
    std::size_t after = 0;    // where in the name it ends to stand for
    for (std::size_t i = 0; i < name.size();) {
        if (at < pattern.size() && pattern[at] == '*') {
            star = at++;
            after = i;
        } else if (at < pattern.size() &&
                   lower(pattern[at]) == lower(name[i])) {
            at++;
            i++;
        } else if (star != none) {
            at = star + 1;
            i = ++after;
        } else {
            return false;
        }
    }
    return pattern.find_first_not_of('*', at) == none;
}

}  // namespace keystile
