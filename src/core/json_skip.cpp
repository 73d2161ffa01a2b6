#include "json_skip.hpp"

#include <array>
#include <cstdint>

#include "byte_search.hpp"

namespace keystile {
namespace {

enum Mark : std::uint8_t { kNone, kQuote, kOpen, kClose };

constexpr auto kMarks = [] {
    std::array<Mark, 256> marks{};
    marks['"'] = kQuote;
    marks['{'] = marks['['] = kOpen;
    marks['}'] = marks[']'] = kClose;
    return marks;
}();

Mark mark_of(char c) noexcept { return kMarks[static_cast<unsigned char>(c)]; }

// Most often it is near. Where it is not, eight bytes are looked at together:
// square brackets differ from curly ones in one bit.
const char *find_mark(const char *at, const char *end) noexcept {
    for (int i = 0; i < 4 && at != end; i++, at++) {
        if (mark_of(*at) != kNone) {
            return at;
        }
    }
    if constexpr (std::endian::native == std::endian::little) {
        for (; end - at >= 8; at += 8) {
            auto word = load_word(at);
            auto curly = word | kOnes * 0x20;
            auto marks = bytes_below(curly ^ (kOnes * '{'), 1) |
                         bytes_below(curly ^ (kOnes * '}'), 1) |
                         bytes_below(word ^ (kOnes * '"'), 1);
            if (marks != 0) {
                return at + std::countr_zero(marks) / 8;
            }
        }
    }
    while (at != end && mark_of(*at) == kNone) {
        at++;
    }
    return at;
}

// Whether the run of backslashes that ends before `end` is odd: then what
// follows it is escaped.
bool ends_in_escape(const char *begin, const char *end) noexcept {
    const char *at = end;
    while (at != begin && at[-1] == '\\') {
        at--;
    }
    return (end - at) % 2 != 0;
}

// The end of the string that goes on at `at`: after its closing quote, or null
// if it goes on to `end`; `escaped` is then whether it goes on beyond, escaped.
// Only quotes are searched for, and the backslashes before one counted: other
// escapes cost nothing.
inline const char *end_of_string(const char *at, const char *end,
                                 bool &escaped) noexcept {
    at += escaped && at != end ? 1 : 0;
    for (;;) {
        const char *quote = find_byte(at, end, '"');
        bool is_escaped = ends_in_escape(at, quote);
        if (quote == end) {
            escaped = is_escaped;
            return nullptr;
        }
        at = quote + 1;
        if (!is_escaped) {
            escaped = false;
            return at;
        }
    }
}

}  // namespace

bool JsonSkip::take(std::string_view &piece) noexcept {
    const char *at = piece.data();
    const char *end = at + piece.size();
    bool is_done = false;
    while (at != end && !is_done) {
        if (in_string_) {
            const char *after = end_of_string(at, end, escaped_);
            in_string_ = after == nullptr;
            at = in_string_ ? end : after;
            is_done = !in_string_ && depth_ == 0;
            continue;
        }
        at = find_mark(at, end);
        if (at == end) {
            break;
        }
        auto mark = mark_of(*at++);
        in_string_ = mark == kQuote;
        depth_ += mark == kOpen ? 1 : 0;
        depth_ -= mark == kClose ? 1 : 0;
        is_done = mark == kClose && depth_ == 0;
    }
    piece.remove_prefix(static_cast<std::size_t>(at - piece.data()));
    return is_done;
}

}  // namespace keystile
