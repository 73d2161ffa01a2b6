// Finds the few values that are wanted in JSON text (RFC 8259), from pieces
// that end anywhere, in fixed memory, whatever the size of the document.
//
// The grammar is checked in the objects that are looked into, and in wanted
// values; in all else only where it ends (json_skip.hpp). So every document
// that is valid is read right, and one that is not may go unnoticed: whoever
// decides by what is found asks JsonCheck too.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "json_shape.hpp"
#include "json_skip.hpp"
#include "json_text.hpp"

namespace keystile {

enum class JsonKind : std::uint8_t {
    text,
    long_text,  // of which only the beginning is there
    count,      // an integer from 0 to 2^64 - 1, without fraction or exponent
    number,     // any other
    yes,
    no,
    null,
    object,  // as it begins
    array,   // as it begins
};

struct JsonValue {
    std::uint8_t field;  // of its JsonMember
    JsonKind kind;
    std::uint64_t count;    // where the kind is count, else 0
    std::string_view text;  // until the next call, and empty for other kinds
};

class JsonScan {
public:
    // Objects and arrays in one another that can be looked into, the outermost
    // included.
    static constexpr std::size_t kDepth = 12;

    // `shape` is of the document, and outlives the scan. If the document is
    // an array, it is of each of its elements.
    explicit JsonScan(const JsonShape &shape) noexcept : root_{&shape} {}

    // Begins another document.
    void start() noexcept;

    // Removes from `piece` what was read and returns the first wanted value
    // that ended in it; none when all was read. A member that comes twice is
    // reported twice. Reads no further after an error.
    std::optional<JsonValue> next(std::string_view &piece) noexcept;

    // The document was read to its end.
    bool is_closed() const noexcept {
        return state_ == State::closed || state_ == State::followed;
    }

    // Something was to be looked into that is deeper than kDepth.
    bool was_too_deep() const noexcept { return too_deep_; }

    // The text is not JSON, or more than white space follows the document.
    bool is_malformed() const noexcept {
        return state_ == State::malformed || state_ == State::followed;
    }

private:
    enum class State : std::uint8_t {
        value,
        first_element,
        first_name,
        next_name,
        colon,
        after_value,
        closed,
        followed,
        // Within a value or a name:
        whole_name,  // at its beginning
        name,
        text,
        number,
        literal,
        unwanted_scalar,
        unwanted,
        malformed,
    };

    bool read_member(std::string_view &piece) noexcept;
    std::size_t read_whole(std::string_view piece) noexcept;
    bool step(std::string_view &piece) noexcept;
    bool mark(char c) noexcept;
    bool begin_value(char c) noexcept;
    bool begin_object() noexcept;
    bool begin_array() noexcept;
    void begin_scalar(char c) noexcept;
    void begin_name(char c) noexcept;
    void after_value(char c) noexcept;
    void end_name(std::string_view name) noexcept;
    void read_name(std::string_view &piece) noexcept;
    bool read_text(std::string_view &piece) noexcept;
    bool read_number(std::string_view &piece) noexcept;
    void add_to_number(char c) noexcept;
    bool read_literal(std::string_view &piece) noexcept;
    void skip_scalar(std::string_view &piece) noexcept;
    void take_comma(std::string_view &piece) noexcept;
    bool in_array() const noexcept;
    void leave() noexcept;
    bool end_value() noexcept;
    bool is_wanted() const noexcept;
    JsonValue found() const noexcept;

    const JsonShape *root_;
    // Of the objects and arrays that we are in: what is wanted of each, or of
    // the objects in it.
    std::array<const JsonShape *, kDepth> path_{};
    const JsonMember *member_ = nullptr;  // whose value is read, if wanted
    std::uint64_t count_ = 0;
    JsonSkip skip_;
    JsonText text_;
    std::string_view found_text_;  // of `text_`, or of the piece
    std::string_view literal_;     // what is left of it
    std::uint8_t level_ = 0;       // of path_
    bool too_deep_ = false;
    std::uint16_t arrays_ = 0;  // a bit for each of path_ that is one's
    State state_ = State::value;
    JsonKind kind_{};
    bool listed_ = false;  // the document is an array
};

}  // namespace keystile
