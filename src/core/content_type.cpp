#include "content_type.hpp"

#include <algorithm>

#include "ascii.hpp"

namespace keystile {
namespace {

bool ends_ignoring_case(std::string_view s, std::string_view end) noexcept {
    return s.size() >= end.size() &&
           equals_ignoring_case(s.substr(s.size() - end.size()), end);
}

// What is multipart or text is read by its own rules, whatever it ends in.
bool is_json_media_type(std::string_view name) noexcept {
    constexpr std::string_view application = "application/";
    auto subtype = name.substr(std::min(name.size(), application.size()));
    return equals_ignoring_case(name.substr(0, application.size()),
                                application) &&
           (equals_ignoring_case(subtype, "json") ||
            (is_token(subtype) && ends_ignoring_case(subtype, "+json")));
}

// There is no white space around the "=" (RFC 9110 section 5.6.6). A quoted
// "utf-8" with escapes in it is nothing that anyone sends.
bool is_utf8_charset(std::string_view parameter) noexcept {
    return equals_ignoring_case(parameter, "charset=utf-8") ||
           equals_ignoring_case(parameter, "charset=\"utf-8\"");
}

}  // namespace

bool is_json_type(std::string_view value) noexcept {
    auto semicolon = value.find(';');
    if (!is_json_media_type(trim(value.substr(0, semicolon)))) {
        return false;
    }
    return semicolon == std::string_view::npos ||
           for_each_element(value.substr(semicolon + 1), ';', is_utf8_charset);
}

}  // namespace keystile
