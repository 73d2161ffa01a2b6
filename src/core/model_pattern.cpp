#include "model_pattern.hpp"

#include <algorithm>

#include "ascii.hpp"

namespace keystile {
namespace {

// What stands behind a name: "-2025-08-07", "-0613", "@20251001"; and no version,
// as in "-1", or "-1-20250805".
bool is_date(std::string_view rest) noexcept {
    constexpr std::string_view of_dates = "0123456789-@";
    constexpr std::size_t year = 4;
    bool begins = rest.starts_with('-') || rest.starts_with('@');
    return begins && rest.size() > year &&
           all<is_digit>(rest.substr(1, year)) &&
           rest.find_first_not_of(of_dates) == rest.npos;
}

}  // namespace

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

bool are_one_model(std::string_view a, std::string_view b) noexcept {
    auto shorter = a.size() < b.size() ? a : b;
    auto longer = a.size() < b.size() ? b : a;
    auto rest = longer.substr(shorter.size());
    return !shorter.empty() && (rest.empty() || is_date(rest)) &&
           equals_ignoring_case(shorter, longer.substr(0, shorter.size()));
}

}  // namespace keystile
