// The query of a request target, looked at by parameter name. Most values are
// the client's business; names are compared percent-decoded, once
// (application/x-www-form-urlencoded, WHATWG URL section 5.1).

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace keystile {

// Whether `name`, still encoded, reads as `plain` once decoded.
bool parameter_is(std::string_view name, std::string_view plain) noexcept;

// Whether a parameter of that (encoded) name would carry a key: key, api_key,
// apiKey, access_token and their relatives, whatever the case or dashes; or
// would stand for a header or a method ("$httpHeaders" of Google's).
// Keys in a query end up in the logs of everyone who sees the request.
bool parameter_carries_key(std::string_view name) noexcept;

// The values of the parameters of a (plain) name: how many there are, and the
// first of them, decoded.
struct ParameterValues {
    std::size_t count = 0;
    std::array<char, 256> bytes;
    std::size_t size = 0;  // more than there is room for, if it is longer

    bool fits() const noexcept { return size <= bytes.size(); }
    std::string_view view() const noexcept { return {bytes.data(), size}; }
};
ParameterValues find_parameter(std::string_view query,
                               std::string_view name) noexcept;

// Whether a parameter asks for a reply that the figures are left out of, or that
// is no JSON: Google's "fields", "alt" and "callback".
bool hides_figures(std::string_view query) noexcept;

// Calls visit(name) with the encoded name of each parameter until it returns
// false; returns false when a visit did. Both '&' and ';' separate, since
// servers differ. Parts that are quite empty ("a=1&&b=2") are skipped.
template <typename Visit>
constexpr bool for_each_parameter(std::string_view query,
                                  Visit visit) noexcept {
    while (!query.empty()) {
        auto end = query.find_first_of("&;");
        auto part = query.substr(0, end);
        if (!part.empty() && !visit(part.substr(0, part.find('=')))) {
            return false;
        }
        query.remove_prefix(end == std::string_view::npos ? query.size()
                                                          : end + 1);
    }
    return true;
}

}  // namespace keystile
