#include "json_compact.hpp"

#include <array>

#include "ascii.hpp"
#include "escaped_text.hpp"

namespace keystile {
namespace {

constexpr bool is_hex_digit(char c) noexcept { return hex_value(c) >= 0; }

class Compactor {
public:
    Compactor(std::string_view text, TextSink &sink) noexcept
        : rest_{text}, sink_{sink} {}

    bool run() noexcept;

private:
    enum class Next : std::uint8_t { value, first_element, first_name, after };

    bool step(Next &next) noexcept;
    bool begin_value(Next &next) noexcept;
    bool open(char bracket, Next &next) noexcept;
    bool close(Next &next) noexcept;
    bool after_value(Next &next) noexcept;
    bool name() noexcept;
    bool string() noexcept;
    std::size_t escape_size(std::string_view text) const noexcept;
    bool number() noexcept;
    bool literal() noexcept;
    void skip_space() noexcept;
    void take(std::size_t size) noexcept;
    bool is_next(char c) const noexcept {
        return !rest_.empty() && rest_.front() == c;
    }

    std::string_view rest_;
    TextSink &sink_;
    std::array<bool, kDeepestJson> is_object_{};  // of those we are in
    std::size_t depth_ = 0;
};

bool Compactor::run() noexcept {
    auto next = Next::value;
    do {
        skip_space();
        if (!step(next)) {
            return false;
        }
    } while (next != Next::after || depth_ != 0);
    skip_space();
    return rest_.empty();
}

bool Compactor::step(Next &next) noexcept {
    switch (next) {
    case Next::value:
        return begin_value(next);
    case Next::first_element:
        return is_next(']') ? close(next) : begin_value(next);
    case Next::first_name:
        if (is_next('}')) {
            return close(next);
        }
        next = Next::value;
        return name();
    case Next::after:
        return after_value(next);
    }
    return false;
}

bool Compactor::begin_value(Next &next) noexcept {
    if (rest_.empty()) {
        return false;
    }
    next = Next::after;
    switch (rest_.front()) {
    case '{':
    case '[':
        return open(rest_.front(), next);
    case '"':
        return string();
    case 't':
    case 'f':
    case 'n':
        return literal();
    default:
        return number();
    }
}

bool Compactor::open(char bracket, Next &next) noexcept {
    if (depth_ == kDeepestJson) {
        return false;
    }
    bool is_object = bracket == '{';
    is_object_[depth_++] = is_object;
    next = is_object ? Next::first_name : Next::first_element;
    take(1);
    return true;
}

bool Compactor::close(Next &next) noexcept {
    depth_--;
    next = Next::after;
    take(1);
    return true;
}

// Within an array or an object.
bool Compactor::after_value(Next &next) noexcept {
    bool in_object = is_object_[depth_ - 1];
    if (is_next(in_object ? '}' : ']')) {
        return close(next);
    }
    if (!is_next(',')) {
        return false;
    }
    take(1);
    next = Next::value;
    skip_space();
    return !in_object || name();
}

bool Compactor::name() noexcept {
    if (!is_next('"') || !string()) {
        return false;
    }
    skip_space();
    if (!is_next(':')) {
        return false;
    }
    take(1);
    return true;
}

bool Compactor::string() noexcept {
    for (std::size_t at = 1; at < rest_.size();) {
        char c = rest_[at];
        if (c == '"') {
            take(at + 1);
            return true;
        }
        auto size = static_cast<unsigned char>(c) < 0x20 ? 0
                    : c == '\\' ? escape_size(rest_.substr(at))
                                : utf8_size(rest_.substr(at));
        if (size == 0) {
            return false;
        }
        at += size;
    }
    return false;
}

// 0 for one that is none.
std::size_t Compactor::escape_size(std::string_view text) const noexcept {
    constexpr std::string_view kSimple = "\"\\/bfnrt";
    constexpr std::size_t kUnicode = 6;
    if (text.size() < 2) {
        return 0;
    }
    if (kSimple.find(text[1]) != std::string_view::npos) {
        return 2;
    }
    bool is_unicode = text[1] == 'u' && text.size() >= kUnicode &&
                      all<is_hex_digit>(text.substr(2, kUnicode - 2));
    return is_unicode ? kUnicode : 0;
}

bool Compactor::number() noexcept {
    std::size_t at = is_next('-') ? 1 : 0;
    auto digits = [&] {
        auto from = at;
        while (at < rest_.size() && is_digit(rest_[at])) {
            at++;
        }
        return at - from;
    };
    auto has = [&](std::string_view any) {
        return at < rest_.size() &&
               any.find(rest_[at]) != std::string_view::npos;
    };

    bool leads_with_zero = has("0");
    auto whole = digits();
    if (whole == 0 || (leads_with_zero && whole > 1)) {
        return false;
    }
    if (has(".")) {
        at++;
        if (digits() == 0) {
            return false;
        }
    }
    if (has("eE")) {
        at++;
        at += has("+-") ? 1 : 0;
        if (digits() == 0) {
            return false;
        }
    }
    take(at);
    return true;
}

bool Compactor::literal() noexcept {
    for (std::string_view word : {"true", "false", "null"}) {
        if (rest_.starts_with(word)) {
            take(word.size());
            return true;
        }
    }
    return false;
}

void Compactor::skip_space() noexcept {
    auto at = rest_.find_first_not_of(" \t\r\n");
    rest_.remove_prefix(at == std::string_view::npos ? rest_.size() : at);
}

void Compactor::take(std::size_t size) noexcept {
    sink_.put(rest_.substr(0, size));
    rest_.remove_prefix(size);
}

}  // namespace

bool put_compact_json(std::string_view text, TextSink &sink) noexcept {
    return Compactor{text, sink}.run();
}

}  // namespace keystile
