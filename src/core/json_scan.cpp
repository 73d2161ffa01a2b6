#include "json_scan.hpp"

#include <algorithm>
#include <limits>

#include "ascii.hpp"
#include "byte_search.hpp"

namespace keystile {
namespace {

bool ends_scalar(char c) noexcept {
    return c == ',' || c == '}' || c == ']' || is_json_space(c);
}

// Of what stands for itself in a string, from its opening quote on.
std::size_t size_of_text(std::string_view piece) noexcept {
    const char *begin = piece.data();
    const char *special = find_special(begin, begin + piece.size());
    return static_cast<std::size_t>(special - begin);
}

// As read_whole(), of a value that is not looked at.
std::size_t size_of_unwanted(std::string_view piece) noexcept {
    const char *begin = piece.data();
    const char *end = begin + piece.size();
    if (piece.empty()) {
        return 0;
    }
    char c = piece.front();
    if (c == '"') {
        const char *quote = find_byte(begin + 1, end, '"');
        bool is_whole = quote != end && quote[-1] != '\\';
        return is_whole ? static_cast<std::size_t>(quote + 1 - begin) : 0;
    }
    if (!is_digit(c) && c != 't' && c != 'f' && c != 'n') {
        return 0;
    }
    const char *after = std::find_if(begin, end, ends_scalar);
    return after == end ? 0 : static_cast<std::size_t>(after - begin);
}

}  // namespace

void JsonScan::start() noexcept {
    member_ = nullptr;
    level_ = 0;
    arrays_ = 0;
    too_deep_ = false;
    state_ = State::value;
    listed_ = false;
}

std::optional<JsonValue> JsonScan::next(std::string_view &piece) noexcept {
    while (!piece.empty()) {
        if (state_ == State::whole_name ? read_member(piece) : step(piece)) {
            return found();
        }
    }
    return std::nullopt;
}

// Most members are there whole, without white space: those are read at once.
// Of others, what is not removed here is read step by step.
bool JsonScan::read_member(std::string_view &piece) noexcept {
    auto name = size_of_text(piece);
    if (piece.size() < name + 2 || piece[name] != '"' ||
        piece[name + 1] != ':') {
        return step(piece);
    }
    end_name(piece.substr(0, name));
    state_ = State::value;
    piece.remove_prefix(name + 2);

    auto size = is_wanted() ? read_whole(piece) : size_of_unwanted(piece);
    if (size == 0) {
        return false;
    }
    piece.remove_prefix(size);
    end_value();
    take_comma(piece);
    return is_wanted();
}

// Of a text or a number that `piece` begins with: how long it is, or 0 if it
// is something else, or not there to its end.
std::size_t JsonScan::read_whole(std::string_view piece) noexcept {
    if (piece.starts_with('"')) {
        auto text = size_of_text(piece.substr(1));
        auto quote = text + 1;
        if (text > JsonText::kRoom || quote == piece.size() ||
            piece[quote] != '"') {
            return 0;
        }
        kind_ = JsonKind::text;
        found_text_ = piece.substr(1, text);
        return quote + 1;
    }
    constexpr std::size_t safe = 19;  // so many digits are less than 2^64
    std::size_t size = 0;
    std::uint64_t count = 0;
    for (; size < piece.size() && is_digit(piece[size]); size++) {
        count = count * 10 + static_cast<std::uint64_t>(piece[size] - '0');
    }
    kind_ = JsonKind::count;
    count_ = count;
    bool ends = size < piece.size() && ends_scalar(piece[size]);
    return ends && size <= safe ? size : 0;
}

// Reads one thing, or what there is of it. True if a wanted value is there.
bool JsonScan::step(std::string_view &piece) noexcept {
    switch (state_) {
    case State::unwanted:
        if (skip_.take(piece)) {
            end_value();
            take_comma(piece);
        }
        return false;
    case State::whole_name:
        text_.start();
        state_ = State::name;
        [[fallthrough]];
    case State::name:
        read_name(piece);
        return false;
    case State::text:
        return read_text(piece);
    case State::number:
        return read_number(piece);
    case State::literal:
        return read_literal(piece);
    case State::unwanted_scalar:
        skip_scalar(piece);
        return false;
    case State::followed:
    case State::malformed:
        piece = {};
        return false;
    default:
        char c = piece.front();
        piece.remove_prefix(1);
        return !is_json_space(c) && mark(c);
    }
}

// A byte between names and values.
bool JsonScan::mark(char c) noexcept {
    switch (state_) {
    case State::value:
        return begin_value(c);
    case State::first_element:
        if (c == ']') {
            after_value(c);
            return false;
        }
        member_ = nullptr;
        return begin_value(c);
    case State::first_name:
        if (c == '}') {
            leave();
            return false;
        }
        [[fallthrough]];
    case State::next_name:
        begin_name(c);
        return false;
    case State::colon:
        state_ = c == ':' ? State::value : State::malformed;
        return false;
    case State::after_value:
        after_value(c);
        return false;
    default:
        state_ = State::followed;
        return false;
    }
}

bool JsonScan::begin_value(char c) noexcept {
    switch (c) {
    case '{':
        return begin_object();
    case '[':
        return begin_array();
    case '"':
        if (is_wanted()) {
            text_.start();
            state_ = State::text;
        } else {
            skip_.start_string();
            state_ = State::unwanted;
        }
        return false;
    default:
        begin_scalar(c);
        return false;
    }
}

bool JsonScan::begin_object() noexcept {
    const auto *inside = member_ != nullptr ? member_->inside : nullptr;
    const auto *shape = level_ == 0  ? root_
                        : in_array() ? path_[level_ - 1U]
                                     : inside;
    kind_ = JsonKind::object;
    if (shape != nullptr && level_ < path_.size()) {
        path_[level_] = shape;
        level_++;
        state_ = State::first_name;
    } else {
        too_deep_ = too_deep_ || shape != nullptr;
        skip_.start_container();
        state_ = State::unwanted;
    }
    return is_wanted();
}

bool JsonScan::begin_array() noexcept {
    kind_ = JsonKind::array;
    if (level_ == 0 && !listed_) {
        listed_ = true;
        state_ = State::first_element;
        return false;
    }
    const auto *elements = member_ != nullptr ? member_->elements : nullptr;
    if (elements != nullptr && level_ < path_.size()) {
        path_[level_] = elements;
        arrays_ |= static_cast<std::uint16_t>(1U << level_);
        level_++;
        state_ = State::first_element;
    } else {
        too_deep_ = too_deep_ || elements != nullptr;
        skip_.start_container();
        state_ = State::unwanted;
    }
    return is_wanted();
}

void JsonScan::begin_scalar(char c) noexcept {
    state_ = is_wanted() ? State::literal : State::unwanted_scalar;
    if (c == 't') {
        literal_ = "rue";
        kind_ = JsonKind::yes;
    } else if (c == 'f') {
        literal_ = "alse";
        kind_ = JsonKind::no;
    } else if (c == 'n') {
        literal_ = "ull";
        kind_ = JsonKind::null;
    } else if (is_digit(c) || c == '-') {
        state_ = is_wanted() ? State::number : State::unwanted_scalar;
        kind_ = JsonKind::count;
        count_ = 0;
        add_to_number(c);
    } else {
        state_ = State::malformed;
    }
}

void JsonScan::begin_name(char c) noexcept {
    state_ = c == '"' ? State::whole_name : State::malformed;
}

void JsonScan::after_value(char c) noexcept {
    bool in_object = level_ > 0 && !in_array();
    if (c == ',') {
        state_ = in_object ? State::next_name : State::value;
        member_ = nullptr;
    } else if (c == '}' && in_object) {
        leave();
    } else if (c == ']' && in_array()) {
        leave();
    } else if (c == ']' && !in_object) {
        state_ = State::closed;
    } else {
        state_ = State::malformed;
    }
}

void JsonScan::end_name(std::string_view name) noexcept {
    member_ = path_[level_ - 1U]->find(name);
    state_ = State::colon;
}

void JsonScan::read_name(std::string_view &piece) noexcept {
    auto is = text_.take(piece);
    if (is == JsonText::State::closed) {
        end_name(text_.text());
        member_ = text_.is_whole() ? member_ : nullptr;
    } else if (is == JsonText::State::malformed) {
        state_ = State::malformed;
    }
}

bool JsonScan::read_text(std::string_view &piece) noexcept {
    auto is = text_.take(piece);
    if (is == JsonText::State::malformed) {
        state_ = State::malformed;
    }
    kind_ = text_.is_whole() ? JsonKind::text : JsonKind::long_text;
    found_text_ = text_.text();
    return is == JsonText::State::closed && end_value();
}

// A number ends only where something else begins.
bool JsonScan::read_number(std::string_view &piece) noexcept {
    for (; !piece.empty() && state_ == State::number; piece.remove_prefix(1)) {
        char c = piece.front();
        if (ends_scalar(c)) {
            return end_value();
        }
        add_to_number(c);
    }
    return false;
}

void JsonScan::add_to_number(char c) noexcept {
    constexpr auto max = std::numeric_limits<std::uint64_t>::max();
    constexpr std::string_view others = "+-.eE";
    auto digit = static_cast<std::uint64_t>(c - '0');
    if (!is_digit(c) && others.find(c) == std::string_view::npos) {
        state_ = State::malformed;
    }
    if (!is_digit(c) || count_ > (max - digit) / 10) {
        kind_ = JsonKind::number;
    }
    if (kind_ == JsonKind::count) {
        count_ = count_ * 10 + digit;
    }
}

bool JsonScan::read_literal(std::string_view &piece) noexcept {
    while (!piece.empty() && !literal_.empty()) {
        if (piece.front() != literal_.front()) {
            state_ = State::malformed;
            return false;
        }
        piece.remove_prefix(1);
        literal_.remove_prefix(1);
    }
    return literal_.empty() && end_value();
}

void JsonScan::skip_scalar(std::string_view &piece) noexcept {
    const auto *end = std::find_if(piece.begin(), piece.end(), ends_scalar);
    piece.remove_prefix(static_cast<std::size_t>(end - piece.begin()));
    if (!piece.empty()) {
        end_value();
        take_comma(piece);
    }
}

// What most often comes next, without another step: a comma, and the name
// after it.
void JsonScan::take_comma(std::string_view &piece) noexcept {
    if (level_ > 0 && !in_array() && piece.starts_with(",\"")) {
        piece.remove_prefix(2);
        state_ = State::whole_name;
    }
}

bool JsonScan::in_array() const noexcept {
    return level_ > 0 && (arrays_ >> (level_ - 1U) & 1U) != 0;
}

void JsonScan::leave() noexcept {
    level_--;
    arrays_ &= static_cast<std::uint16_t>(~(1U << level_));
    member_ = nullptr;
    end_value();
}

bool JsonScan::end_value() noexcept {
    state_ = level_ > 0 || listed_ ? State::after_value : State::closed;
    return true;
}

bool JsonScan::is_wanted() const noexcept {
    return member_ != nullptr && member_->field != 0;
}

JsonValue JsonScan::found() const noexcept {
    bool is_text = kind_ == JsonKind::text || kind_ == JsonKind::long_text;
    return {member_->field, kind_, kind_ == JsonKind::count ? count_ : 0,
            is_text ? found_text_ : std::string_view{}};
}

}  // namespace keystile
