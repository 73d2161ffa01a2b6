// Names of headers, for a quick no: most headers of a request are none of the
// dozens that mean something, and their length and one letter tell. Names are
// taken as same_header_name() does.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keystile {

class HeaderNames {
public:
    // No names.
    constexpr HeaderNames() noexcept = default;

    // Every name there is.
    static constexpr HeaderNames all() noexcept {
        HeaderNames names;
        names.letters_.fill(~std::uint64_t{0});
        return names;
    }

    // Requires that the name is not empty.
    constexpr void add(std::string_view name) noexcept {
        letters_[place(name.size())] |= letter(name);
    }

    // All names that begin so. Requires at least three bytes.
    constexpr void add_prefix(std::string_view prefix) noexcept {
        for (auto i = place(prefix.size()); i < letters_.size(); i++) {
            letters_[i] |= letter(prefix);
        }
    }

    // True for a name that was added, in any spelling. False for most others.
    constexpr bool may_hold(std::string_view name) const noexcept {
        return name.empty() ||
               (letters_[place(name.size())] & letter(name)) != 0;
    }

private:
    static constexpr std::size_t kLengths = 32;

    static constexpr std::size_t place(std::size_t size) noexcept {
        return std::min(size, kLengths - 1);
    }

    // Five bits of the first letter, or of that after "x-": they are the same
    // for both cases of a letter. Others may share them.
    static constexpr std::uint64_t letter(std::string_view name) noexcept {
        bool is_x = name.size() > 2 && (name.front() | 0x20) == 'x';
        char c = is_x ? name[2] : name.front();
        auto bits = static_cast<unsigned char>(c == '_' ? '-' : c) & 31U;
        return std::uint64_t{1} << (bits | (is_x ? 32U : 0U));
    }

    // By length, the longest together: a bit for each letter.
    std::array<std::uint64_t, kLengths> letters_{};
};

}  // namespace keystile
