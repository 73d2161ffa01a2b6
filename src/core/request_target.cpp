#include "request_target.hpp"

#include <optional>

#include "ascii.hpp"

namespace keystile {
namespace {

constexpr bool is_target_char(char c) noexcept {
    auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte <= 0x7E && c != '#';
}

// RFC 3986 2.3.
constexpr bool is_unreserved(char c) noexcept {
    return is_alpha(c) || is_digit(c) || c == '-' || c == '.' || c == '_' ||
           c == '~';
}

// An escape that some server between here and the model may undo, and then
// see another path than the one our rules saw.
constexpr bool is_needless_escape(char c) noexcept {
    auto byte = static_cast<unsigned char>(c);
    return is_unreserved(c) || c == '/' || c == '\\' || c == ';' || c == '%' ||
           byte < 0x20 || byte == 0x7F;
}

std::optional<TargetFault> check_escape(std::string_view rest) noexcept {
    int high = rest.size() > 2 ? hex_value(rest[1]) : -1;
    int low = rest.size() > 2 ? hex_value(rest[2]) : -1;

    if (high < 0 || low < 0) {
        return TargetFault::broken_escape;
    }
    if (is_needless_escape(static_cast<char>(high * 16 + low))) {
        return TargetFault::needless_escape;
    }
    return std::nullopt;
}

std::optional<TargetFault> check_path(std::string_view path) noexcept {
    std::size_t segment = 1;

    for (std::size_t i = 1; i <= path.size(); i++) {
        if (i == path.size() || path[i] == '/') {
            auto name = path.substr(segment, i - segment);
            if (name == "." || name == "..") {
                return TargetFault::dot_segment;
            }
            if (name.empty() && i < path.size()) {
                return TargetFault::empty_segment;
            }
            segment = i + 1;
            continue;
        }
        if (path[i] == '\\' || path[i] == ';') {
            return TargetFault::separator;
        }
        if (path[i] == '%') {
            if (auto fault = check_escape(path.substr(i))) {
                return fault;
            }
        }
    }
    return std::nullopt;
}

}  // namespace

std::string_view describe(TargetFault fault) noexcept {
    switch (fault) {
    case TargetFault::not_origin_form:
        return "it does not start with a single \"/\"";
    case TargetFault::forbidden_byte:
        return "it holds a control byte, a space, \"#\" or a byte over 0x7E";
    case TargetFault::empty_segment:
        return "its path holds \"//\"";
    case TargetFault::dot_segment:
        return "its path holds a \".\" or \"..\" segment";
    case TargetFault::separator:
        return "its path holds \"\\\" or \";\"";
    case TargetFault::broken_escape:
        return "its path holds a broken percent-escape";
    case TargetFault::needless_escape:
        return "its path escapes a byte that must be written plainly";
    }
    return "";
}

Result<RequestTarget, TargetFault> parse_request_target(
    std::string_view raw) noexcept {
    if (raw.empty() || raw.front() != '/') {
        return TargetFault::not_origin_form;
    }
    if (!all<is_target_char>(raw)) {
        return TargetFault::forbidden_byte;
    }

    RequestTarget target;
    auto mark = raw.find('?');
    target.path = raw.substr(0, mark);
    if (mark != std::string_view::npos) {
        target.has_query = true;
        target.query = raw.substr(mark + 1);
    }

    if (auto fault = check_path(target.path)) {
        return *fault;
    }
    return target;
}

}  // namespace keystile
