#include "json_member_span.hpp"

#include <algorithm>

#include "ascii.hpp"

namespace keystile {
namespace {

using Kind = JsonMemberSpan::Kind;

// Functions that return bool return false once there is a fault.
class Walk {
public:
    explicit Walk(std::string_view text) noexcept : text_{text} {}

    bool document(std::span<JsonMemberSpan> wanted) noexcept;
    const std::optional<JsonFault> &fault() const noexcept { return fault_; }

private:
    template <typename Visit>
    bool members(Visit visit) noexcept;
    bool elements() noexcept;
    bool skip() noexcept;
    bool value(JsonMemberSpan &member) noexcept;
    bool quoted(std::string_view &content) noexcept;
    bool escape() noexcept;
    bool number() noexcept;
    bool digits() noexcept;
    bool literal(std::string_view word) noexcept;

    char peek() const noexcept {
        return at_ < text_.size() ? text_[at_] : '\0';
    }
    char peek_value() noexcept {
        at_ = std::min(text_.find_first_not_of(" \t\n\r", at_), text_.size());
        return peek();
    }
    bool take(char c) noexcept {
        bool there = peek_value() == c;
        at_ += there;
        return there;
    }
    bool expect(char c) noexcept { return take(c) || fail(); }
    bool fail(JsonFault::Kind kind = JsonFault::Kind::syntax) noexcept {
        fault_ = JsonFault{kind, at_};
        return false;
    }

    std::string_view text_;
    std::size_t at_ = 0;
    unsigned depth_ = 0;
    std::optional<JsonFault> fault_;
};

Kind kind_of(char first) noexcept {
    switch (first) {
    case '"':
        return Kind::text;
    case '{':
        return Kind::object;
    case '[':
        return Kind::array;
    case 't':
        return Kind::yes;
    case 'f':
        return Kind::no;
    case 'n':
        return Kind::null;
    default:
        return Kind::number;
    }
}

// Calls visit(name, offset of the name) before each value, which it reads.
template <typename Visit>
bool Walk::members(Visit visit) noexcept {
    if (++depth_ > JsonFault::kMostDepth) {
        return fail(JsonFault::Kind::depth);
    }
    if (!expect('{')) {
        return false;
    }
    bool some = peek_value() != '}';
    while (some) {
        peek_value();
        auto offset = at_;
        std::string_view name;
        if (!quoted(name) || !expect(':') || !visit(name, offset)) {
            return false;
        }
        some = take(',');
    }
    depth_--;
    return expect('}');
}

bool Walk::elements() noexcept {
    if (++depth_ > JsonFault::kMostDepth) {
        return fail(JsonFault::Kind::depth);
    }
    if (!expect('[')) {
        return false;
    }
    bool some = peek_value() != ']';
    while (some) {
        if (!skip()) {
            return false;
        }
        some = take(',');
    }
    depth_--;
    return expect(']');
}

bool Walk::skip() noexcept {
    std::string_view content;
    switch (kind_of(peek_value())) {
    case Kind::text:
        return quoted(content);
    case Kind::object:
        return members([this](auto, auto) { return skip(); });
    case Kind::array:
        return elements();
    case Kind::yes:
        return literal("true");
    case Kind::no:
        return literal("false");
    case Kind::null:
        return literal("null");
    default:
        return number();
    }
}

bool Walk::value(JsonMemberSpan &member) noexcept {
    member.kind = kind_of(peek_value());
    if (member.kind == Kind::text) {
        return quoted(member.value);
    }
    auto start = at_;
    bool read = skip();
    member.value = text_.substr(start, at_ - start);
    return read;
}

bool Walk::quoted(std::string_view &content) noexcept {
    if (peek() != '"') {
        return fail();
    }
    auto start = ++at_;
    while (peek() != '"') {
        // The end of the text is one of these bytes, too.
        if (static_cast<unsigned char>(peek()) < 0x20) {
            return fail();
        }
        if (text_[at_++] == '\\' && !escape()) {
            return false;
        }
    }
    content = text_.substr(start, at_++ - start);
    return true;
}

bool Walk::escape() noexcept {
    constexpr std::string_view letters{"\"\\/bfnrt"};
    if (peek() != 'u') {
        return letters.find(peek()) != std::string_view::npos ? (at_++, true)
                                                              : fail();
    }
    at_++;
    for (int i = 0; i < 4; i++, at_++) {
        if (hex_value(peek()) < 0) {
            return fail();
        }
    }
    return true;
}

bool Walk::number() noexcept {
    at_ += peek() == '-';
    if (peek() == '0') {
        at_++;
    } else if (!digits()) {
        return false;
    }
    if (peek() == '.') {
        at_++;
        if (!digits()) {
            return false;
        }
    }
    if (lower(peek()) == 'e') {
        at_++;
        at_ += peek() == '+' || peek() == '-';
        return digits();
    }
    return true;
}

bool Walk::digits() noexcept {
    if (!is_digit(peek())) {
        return fail();
    }
    while (is_digit(peek())) {
        at_++;
    }
    return true;
}

bool Walk::literal(std::string_view word) noexcept {
    for (char c : word) {
        if (peek() != c) {
            return fail();
        }
        at_++;
    }
    return true;
}

bool Walk::document(std::span<JsonMemberSpan> wanted) noexcept {
    if (kind_of(peek_value()) != Kind::object) {
        return fail(at_ < text_.size() ? JsonFault::Kind::no_object
                                       : JsonFault::Kind::syntax);
    }
    bool read = members([&](std::string_view name, std::size_t offset) {
        for (auto &member : wanted) {
            if (!JsonBytes{name}.is(member.name)) {
                continue;
            }
            if (member.kind != Kind::absent) {
                at_ = offset;
                return fail(JsonFault::Kind::doubled);
            }
            return value(member);
        }
        return skip();
    });
    peek_value();
    return read && (at_ == text_.size() || fail());
}

}  // namespace

std::optional<JsonFault> find_json_members(
    std::string_view text, std::span<JsonMemberSpan> wanted) noexcept {
    Walk walk{text};
    walk.document(wanted);
    return walk.fault();
}

std::optional<char> JsonBytes::next() noexcept {
    if (rest_.empty()) {
        return std::nullopt;
    }
    char c = rest_.front();
    rest_.remove_prefix(1);
    return c == '\\' ? take_escape() : c;
}

char JsonBytes::take_escape() noexcept {
    constexpr std::string_view letters{"bfnrt"};
    constexpr std::string_view meant{"\b\f\n\r\t"};

    char c = rest_.front();
    rest_.remove_prefix(1);
    if (c != 'u') {
        auto at = letters.find(c);
        return at == std::string_view::npos ? c : meant[at];
    }
    int unit = 0;
    for (char digit : rest_.substr(0, 4)) {
        unit = unit * 16 + hex_value(digit);
    }
    rest_.remove_prefix(4);
    return unit < 0x80 ? static_cast<char>(unit) : '\xFF';
}

char *JsonBytes::write(char *to) noexcept {
    while (auto c = next()) {
        *to++ = *c;
    }
    return to;
}

bool JsonBytes::is(std::string_view text) noexcept {
    for (char expected : text) {
        if (next() != expected) {
            return false;
        }
    }
    return rest_.empty();
}

}  // namespace keystile
