#include "event_stream.hpp"

#include "byte_search.hpp"

namespace keystile {
namespace {

constexpr std::string_view kMark = "\xEF\xBB\xBF";
constexpr std::string_view kData = "data";
constexpr std::string_view kDone = "[DONE]";
constexpr std::uint8_t kOtherData = kDone.size() + 1;

bool is_line_end(char c) noexcept { return c == '\r' || c == '\n'; }

// Removes and returns what stands before the end of the line.
std::string_view take_line(std::string_view &piece) noexcept {
    const char *begin = piece.data();
    const char *end = find_line_end(begin, begin + piece.size());
    auto line = piece.substr(0, static_cast<std::size_t>(end - begin));
    piece.remove_prefix(line.size());
    return line;
}

}  // namespace

// No line end is passed over: each is a control byte, and any but the LFs that
// are expected is left to EventStream.
std::optional<WholeEvent> find_whole_event(std::string_view piece) noexcept {
    const char *begin = piece.data();
    const char *end = begin + piece.size();
    if (piece.starts_with("event:")) {
        const char *lf = find_control(begin, end);
        if (lf == end || *lf != '\n') {
            return std::nullopt;
        }
        piece.remove_prefix(static_cast<std::size_t>(lf + 1 - begin));
    }
    if (!piece.starts_with("data: ")) {
        return std::nullopt;
    }
    const char *data = piece.data() + 6;
    const char *lf = find_control(data, end);
    if (end - lf < 2 || lf[0] != '\n' || lf[1] != '\n') {
        return std::nullopt;
    }
    return WholeEvent{{data, static_cast<std::size_t>(lf - data)},
                      static_cast<std::size_t>(lf + 2 - begin)};
}

std::optional<EventPart> EventStream::next(std::string_view &piece) noexcept {
    while (!piece.empty()) {
        if (after_cr_) {
            after_cr_ = false;
            piece.remove_prefix(piece.front() == '\n' ? 1 : 0);
        } else if (auto part = step(piece)) {
            return part;
        }
    }
    return std::nullopt;
}

// Reads one thing of a line, or goes on to the next state.
std::optional<EventPart> EventStream::step(std::string_view &piece) noexcept {
    if (state_ == State::mark) {
        read_mark(piece);
        return std::nullopt;
    }
    if (state_ == State::ignored) {
        take_line(piece);
        if (piece.empty()) {
            return std::nullopt;
        }
    }
    if (is_line_end(piece.front())) {
        after_cr_ = piece.front() == '\r';
        piece.remove_prefix(1);
        return end_line();
    }
    switch (state_) {
    case State::name:
        return read_name(piece);
    case State::space:
        state_ = State::value;
        piece.remove_prefix(piece.front() == ' ' ? 1 : 0);
        return std::nullopt;
    default:
        return read_value(piece);
    }
}

// One may stand at the very beginning.
void EventStream::read_mark(std::string_view &piece) noexcept {
    if (piece.front() == kMark[matched_]) {
        piece.remove_prefix(1);
        matched_++;
        if (matched_ < kMark.size()) {
            return;
        }
        matched_ = 0;
    }
    // What began like one and is none, is the name of some field.
    state_ = matched_ == 0 ? State::name : State::ignored;
    matched_ = 0;
}

std::optional<EventPart> EventStream::read_name(
    std::string_view &piece) noexcept {
    if (matched_ == 0 && piece.starts_with("data:")) {  // as a rule
        piece.remove_prefix(kData.size());
        matched_ = kData.size();
    }
    char c = piece.front();
    if (matched_ < kData.size() && c == kData[matched_]) {
        matched_++;
    } else if (matched_ == kData.size() && c == ':') {
        state_ = State::space;
        piece.remove_prefix(1);
        return begin_data();
    } else {
        state_ = State::ignored;
    }
    piece.remove_prefix(1);
    return std::nullopt;
}

EventPart EventStream::read_value(std::string_view &piece) noexcept {
    auto data = take_line(piece);
    watch_for_done(data);
    return {EventPart::Kind::data, data};
}

// Fields of data are joined by line ends.
std::optional<EventPart> EventStream::begin_data() noexcept {
    if (!has_data_) {
        has_data_ = true;
        return std::nullopt;
    }
    done_ = kOtherData;
    return EventPart{EventPart::Kind::data, "\n"};
}

std::optional<EventPart> EventStream::end_line() noexcept {
    bool in_name = state_ == State::name;
    bool is_blank = in_name && matched_ == 0;
    bool is_bare_name = in_name && matched_ == kData.size();
    state_ = State::name;
    matched_ = 0;
    if (is_bare_name) {
        return begin_data();
    }
    if (is_blank && has_data_) {
        return end_event();
    }
    return std::nullopt;
}

EventPart EventStream::end_event() noexcept {
    bool is_done = done_ == kDone.size();
    done_ = 0;
    has_data_ = false;
    return {is_done ? EventPart::Kind::done : EventPart::Kind::end, {}};
}

void EventStream::watch_for_done(std::string_view data) noexcept {
    if (done_ == kOtherData) {
        return;
    }
    bool is_next = kDone.substr(done_).starts_with(data);
    done_ =
        is_next ? static_cast<std::uint8_t>(done_ + data.size()) : kOtherData;
}

}  // namespace keystile
