// The words of a state file (state_file.hpp), for those who write and read it.

#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <system_error>

#include "denial.hpp"
#include "digest.hpp"

namespace keystile::state_words {

inline constexpr std::string_view kMagic = "keystile-state ";
inline constexpr std::string_view kVersion = "1";
inline constexpr std::string_view kNoName = "%";

// By their enumerators. Files are full of them: a name never changes.
inline constexpr std::array<std::string_view, 4> kKinds{"requests", "tokens",
                                                        "usd", "concurrent"};
inline constexpr std::array<std::string_view, 6> kPeriods{
    "none", "minute", "hour", "day", "week", "month"};
// In small letters.
std::array<char, 64> hex_of(const Sha256Digest &digest) noexcept;

// The first line of a file.
struct StateHead {
    std::uint64_t generation;
    std::int64_t saved_at;
    std::int64_t counted_since;
};

// False if it is not of three numbers behind two words.
bool read_head(std::string_view line, StateHead &head) noexcept;

// What is before `end`, which is cut off `text` with it: all of the text if it
// is not in there.
std::string_view cut(std::string_view &text, char end) noexcept;

// Reads the words of a line, one after another. Each function returns false
// when the next one is none of that kind, or there is none.
class StateWords {
public:
    explicit StateWords(std::string_view line) noexcept : rest_{line} {}

    bool word(std::string_view &word) noexcept;

    template <typename Integer>
    bool number(Integer &value) noexcept {
        std::string_view digits;
        if (!word(digits)) {
            return false;
        }
        const auto *end = digits.data() + digits.size();
        auto read = std::from_chars(digits.data(), end, value);
        return read.ec == std::errc{} && read.ptr == end;
    }

    bool numbers(std::span<std::uint64_t> values) noexcept;

    bool one_of(std::span<const std::string_view> words,
                std::size_t &index) noexcept;

    // `name` is a part of `room`.
    bool name(std::span<char> room, std::string_view &name) noexcept;

    bool at_end() const noexcept { return rest_.empty(); }

private:
    std::string_view rest_;
};

}  // namespace keystile::state_words
