// Finds members of a JSON object (RFC 8259) in a text that is there as a
// whole, and copies nothing: for texts that hold secrets.
//
// The whole text is checked against the grammar, but for its being UTF-8.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace keystile {

struct JsonMemberSpan {
    enum class Kind : std::uint8_t {
        absent,
        text,
        number,
        object,
        array,
        yes,
        no,
        null,
    };

    std::string_view name;  // ASCII
    Kind kind = Kind::absent;
    // Of the value, as it is written: what is between the quotes of a text,
    // with its escapes, and else all of it.
    std::string_view value{};
};

struct JsonFault {
    enum class Kind : std::uint8_t {
        syntax,
        depth,      // more than kMostDepth objects and arrays in each other
        no_object,  // JSON, but something else
        doubled,    // a member that is looked for is there twice
    };
    static constexpr unsigned kMostDepth = 32;

    Kind kind;
    std::size_t offset;  // in the text
};

// Fills in the members that are looked for, and are there. Their kinds are to
// be `absent`. Names are compared after their escapes are resolved.
std::optional<JsonFault> find_json_members(
    std::string_view text, std::span<JsonMemberSpan> wanted) noexcept;

// What a text of JSON says, from what is between its quotes. Characters other
// than ASCII that are escaped are the byte 0xFF, which is in no UTF-8.
class JsonBytes {
public:
    // Requires that the grammar was checked.
    explicit JsonBytes(std::string_view quoted) noexcept : rest_{quoted} {}

    // The next byte, as far as there is one.
    std::optional<char> next() noexcept;

    // What is left. Writes no more bytes than were quoted, and returns the end
    // of what it wrote.
    char *write(char *to) noexcept;
    bool is(std::string_view text) noexcept;

private:
    char take_escape() noexcept;

    std::string_view rest_;
};

}  // namespace keystile
