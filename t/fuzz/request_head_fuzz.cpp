// Any header block: no credential is forwarded, however its name is written,
// and no line that a server could read as two.

#include "request_head.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "caller_headers.hpp"
#include "check.hpp"

namespace keystile {
namespace {

constexpr std::array<std::string_view, 3> kKeyHeaders{
    "authorization", "x-team-key", "x-provider-key"};
constexpr std::array<std::string_view, 1> kOverridden{"x-set"};
constexpr RequestHeadPolicy kPolicy{kKeyHeaders, kOverridden};

const RequestHeadPolicy kIndexed = [] {
    auto policy = kPolicy;
    policy.index();
    return policy;
}();

std::string upper(std::string_view text) {
    std::string all{text};
    for (char &c : all) {
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    }
    return all;
}

// As CGI writes a name, which is how servers come to confuse two.
std::string cgi_name(std::string_view name) {
    auto variable = upper(name);
    std::replace(variable.begin(), variable.end(), '-', '_');
    return variable;
}

bool must_stay(const std::string &variable) {
    constexpr std::array<std::string_view, 23> names{
        "AUTHORIZATION",  "PROXY_AUTHORIZATION",
        "X_API_KEY",      "API_KEY",
        "X_GOOG_API_KEY", "OPENAI_API_KEY",
        "X_TEAM_KEY",     "X_PROVIDER_KEY",
        "COOKIE",         "OPENAI_ORGANIZATION",
        "OPENAI_PROJECT", "X_SET",
        "HOST",           "CONNECTION",
        "CONTENT_LENGTH", "TRANSFER_ENCODING",
        "UPGRADE",        "TE",
        "FORWARDED",      "VIA",
        "X_REAL_IP",      "ORIGIN",
        "REFERER"};
    return std::find(names.begin(), names.end(), variable) != names.end() ||
           variable.starts_with("X_FORWARDED_") ||
           variable.starts_with("X_KEYSTILE_");
}

bool is_untouched(const CallerHeaders &headers) {
    return headers.credentials_seen() == 0 && headers.presented(0).empty() &&
           headers.presented(1).empty() && !headers.asks_for_websocket() &&
           headers.connection_lines().empty() &&
           !headers.has_anthropic_version() && headers.request_id().empty();
}

void check_line(std::string_view name, std::string_view value) {
    bool is_forwarded = forwards_request_header(name, value, kPolicy);
    check(is_forwarded == forwards_request_header(name, value, kIndexed),
          "the index changes nothing");
    CallerHeaders headers{kKeyHeaders};
    headers.see(name, value);
    check(kIndexed.special.may_hold(name) || is_untouched(headers),
          "what is not special says nothing of the caller");
    if (!is_forwarded) {
        return;
    }
    check(!must_stay(cgi_name(name)), "no credential is forwarded");
    check(!name.empty(), "a line has a name");
    for (char c : name) {
        check(c > 0x20 && c < 0x7F && c != ':', "a name is a token");
    }
    for (char c : value) {
        check(
            c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F),
            "a value ends no line");
    }
}

void check_protocols(std::string_view list) {
    WebSocketProtocols protocols{list};
    std::string left(protocols.size() + 1, '#');
    auto end = protocols.write(left.data());
    check(end == left.data() + left.size() - 1, "size() is what is written");
    check(left.back() == '#', "nothing is written after it");
    left.pop_back();
    check(left.size() <= 2 * list.size(), "a list does not grow without end");
    check(upper(", " + left).find(", OPENAI-INSECURE-API-KEY.") ==
              std::string::npos,
          "no key is forwarded as a subprotocol");

    WebSocketProtocols again{left};
    check(again.size() == left.size(), "filtering twice changes nothing");
}

void check_block(std::string_view block) {
    for_each_header(block, [](std::string_view name, std::string_view value) {
        check_line(name, value);
        check_protocols(value);
        if (!name.empty() && connection_names(value, name)) {
            check(cgi_name(value).find(cgi_name(name)) != std::string::npos,
                  "a header that is named is in the list");
        }
    });
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    keystile::check_block(text_of(bytes, size));
    return 0;
}
