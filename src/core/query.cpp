#include "query.hpp"

#include <algorithm>
#include <array>

#include "ascii.hpp"

namespace keystile {
namespace {

// Written as `comparable` below leaves them: lower case, no dashes,
// and without the "$" of Google's system parameters.
constexpr std::array<std::string_view, 12> kKeyNames{
    "key",        "apikey",      "accesstoken",     "authorization",
    "xapikey",    "xgoogapikey", "subscriptionkey", "authtoken",
    "oauthtoken", "bearertoken", "httpheaders",     "httpmethod",
};

// Takes one decoded byte off the front of `rest`, which is not empty. A broken
// escape stands for itself.
constexpr char take_decoded(std::string_view &rest) noexcept {
    char c = rest.front();
    if (c == '%' && rest.size() > 2) {
        int high = hex_value(rest[1]);
        int low = hex_value(rest[2]);
        if (high >= 0 && low >= 0) {
            rest.remove_prefix(3);
            return static_cast<char>(high * 16 + low);
        }
    }
    rest.remove_prefix(1);
    return c == '+' ? ' ' : c;
}

}  // namespace

bool parameter_is(std::string_view name, std::string_view plain) noexcept {
    while (!name.empty()) {
        char c = take_decoded(name);
        if (plain.empty() || plain.front() != c) {
            return false;
        }
        plain.remove_prefix(1);
    }
    return plain.empty();
}

ParameterValues find_parameter(std::string_view query,
                               std::string_view name) noexcept {
    ParameterValues found;
    for_each_parameter(query, [&](std::string_view one) {
        if (!parameter_is(one, name) || found.count++ != 0) {
            return true;
        }
        // Its value stands behind it in the query.
        auto end =
            static_cast<std::size_t>(one.data() - query.data()) + one.size();
        auto value = query.substr(end, query.find_first_of("&;", end) - end);
        value.remove_prefix(value.empty() ? 0 : 1);
        while (!value.empty() && found.fits()) {
            char c = take_decoded(value);
            if (found.size < found.bytes.size()) {
                found.bytes[found.size] = c;
            }
            found.size++;
        }
        return true;
    });
    return found;
}

bool hides_figures(std::string_view query) noexcept {
    auto has = [query](std::string_view name) {
        return find_parameter(query, name).count != 0;
    };
    auto has_other_form = [query](std::string_view name) {
        auto form = find_parameter(query, name);
        bool good = form.count == 0 ||
                    (form.count == 1 && form.fits() &&
                     (form.view() == "json" || form.view() == "sse" ||
                      form.view() == "json;enum-encoding=int"));
        return !good;
    };
    return has("fields") || has("$fields") || has("callback") ||
           has("$callback") || has_other_form("alt") || has_other_form("$alt");
}

bool parameter_carries_key(std::string_view name) noexcept {
    std::array<char, 16> comparable{};
    std::size_t size = 0;

    while (!name.empty()) {
        char c = lower(take_decoded(name));
        if (c == '-' || c == '_' || c == ' ' || c == '$') {
            continue;
        }
        if (size == comparable.size()) {
            return false;
        }
        comparable[size++] = c;
    }
    std::string_view plain{comparable.data(), size};
    return std::find(kKeyNames.begin(), kKeyNames.end(), plain) !=
           kKeyNames.end();
}

}  // namespace keystile
