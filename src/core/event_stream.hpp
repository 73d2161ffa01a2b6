// Server-sent events (WHATWG HTML section 9.2) from pieces that end anywhere,
// in fixed memory: the data of an event goes on as it comes, whatever its
// size. Other fields (event, id, retry) and comments are passed over.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keystile {

struct EventPart {
    enum class Kind : std::uint8_t {
        data,  // more of the data of an event
        end,   // of an event that had data, or an empty data field
        done,  // the same, of one whose data is "[DONE]"
    };

    Kind kind;
    std::string_view data;  // of the piece, or "\n" between two data fields
};

// The event that `piece` begins with, if it is there to its end and is as most
// are: one line of data, one of its name before that or none, and line ends
// that are LF. For a stream that is between events.
struct WholeEvent {
    std::string_view data;
    std::size_t size;  // of the event, with its blank line
};
std::optional<WholeEvent> find_whole_event(std::string_view piece) noexcept;

class EventStream {
public:
    // Nothing of an event has been read: what follows may be passed over by
    // whole events.
    bool is_between_events() const noexcept {
        return state_ == State::name && matched_ == 0 && !has_data_ &&
               !after_cr_;
    }

    // Removes from `piece` what was read and returns the first part in it;
    // none when all was read. An event ends with its blank line, and with the
    // CR of it: an LF that follows in a later piece is part of that line end.
    std::optional<EventPart> next(std::string_view &piece) noexcept;

private:
    enum class State : std::uint8_t { mark, name, space, value, ignored };

    std::optional<EventPart> step(std::string_view &piece) noexcept;
    void read_mark(std::string_view &piece) noexcept;
    std::optional<EventPart> read_name(std::string_view &piece) noexcept;
    EventPart read_value(std::string_view &piece) noexcept;
    std::optional<EventPart> begin_data() noexcept;
    std::optional<EventPart> end_line() noexcept;
    EventPart end_event() noexcept;
    void watch_for_done(std::string_view data) noexcept;

    State state_ = State::mark;
    std::uint8_t matched_ = 0;  // bytes of the byte order mark, or of "data"
    std::uint8_t done_ = 0;     // bytes of "[DONE]"; beyond it: other data
    bool has_data_ = false;     // the event
    bool after_cr_ = false;     // an LF belongs to the line before
};

}  // namespace keystile
