#include "json_position.hpp"

#include <algorithm>

namespace keystile {
namespace {

constexpr std::string_view kWhitespace = " \t\n\r";

// A place in a valid text: it is taken for granted that brackets match and
// strings end.
class Cursor {
public:
    explicit Cursor(std::string_view text) noexcept : text_{text} {
        skip_space();
    }

    [[nodiscard]] std::size_t offset() const noexcept { return at_; }

    // Goes into a container and to its element number `index`; false if there
    // is none.
    bool enter(std::size_t index) noexcept {
        auto start = at_;
        if (peek() != '{' && peek() != '[') {
            return false;
        }
        step();
        for (; peek() != '}' && peek() != ']' && peek() != '\0'; index--) {
            if (index == 0) {
                return true;
            }
            skip_element();
        }
        at_ = start;
        return false;
    }

    // From the name of a member to its value; stays where there is no name.
    void skip_name() noexcept {
        if (peek() != '"') {
            return;
        }
        auto start = at_;
        skip_string();
        skip_space();
        if (peek() != ':') {
            at_ = start;
            return;
        }
        step();
    }

private:
    [[nodiscard]] char peek() const noexcept {
        return at_ < text_.size() ? text_[at_] : '\0';
    }

    void skip_space() noexcept {
        at_ =
            std::min(text_.find_first_not_of(kWhitespace, at_), text_.size());
    }

    void step() noexcept {
        at_++;
        skip_space();
    }

    void skip_string() noexcept {
        for (at_++; peek() != '"' && peek() != '\0'; at_++) {
            if (peek() == '\\') {
                at_++;
            }
        }
        at_ = std::min(at_ + 1, text_.size());
    }

    // Over one element of a container, its name and the comma included.
    void skip_element() noexcept {
        for (std::size_t depth = 0; at_ < text_.size();) {
            switch (peek()) {
            case '"':
                skip_string();
                continue;
            case '{':
            case '[':
                depth++;
                break;
            case '}':
            case ']':
                if (depth == 0) {
                    return;
                }
                depth--;
                break;
            case ',':
                if (depth == 0) {
                    step();
                    return;
                }
                break;
            default:
                break;
            }
            at_++;
        }
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

}  // namespace

JsonPosition position_at(std::string_view text, std::size_t offset) noexcept {
    auto before = text.substr(0, offset);
    auto line = before.substr(before.rfind('\n') + 1);  // npos + 1 is 0

    // All bytes of a code point but the first are 10xxxxxx in UTF-8.
    auto is_first_byte = [](char c) {
        return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    };
    auto lines = std::count(before.begin(), before.end(), '\n');
    auto columns = std::count_if(line.begin(), line.end(), is_first_byte);
    return {static_cast<int>(lines) + 1, static_cast<int>(columns) + 1};
}

JsonPosition find_json_element(std::string_view text,
                               std::span<const std::size_t> path,
                               JsonPart part) noexcept {
    Cursor cursor{text};
    auto offset = cursor.offset();

    for (auto index : path) {
        if (!cursor.enter(index)) {
            break;
        }
        offset = cursor.offset();
        cursor.skip_name();
        if (part == JsonPart::value) {
            offset = cursor.offset();
        }
    }
    return position_at(text, offset);
}

}  // namespace keystile
