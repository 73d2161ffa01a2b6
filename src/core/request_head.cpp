#include "request_head.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "ascii.hpp"
#include "key_header.hpp"

namespace keystile {
namespace {

// Written by us, bound to one connection, or about the client. Credentials
// are is_credential_header's.
constexpr std::array<std::string_view, 26> kDropped{
    "host",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "content-length",
    "expect",
    "cookie",
    "cookie2",
    "openai-organization",
    "openai-project",
    "forwarded",
    "via",
    "x-real-ip",
    "true-client-ip",
    "x-request-id",
    "origin",
    "referer",
    "proxy-authenticate",
    "sec-websocket-protocol",
    "x-original-url",
    "x-rewrite-url",
};

constexpr std::array<std::string_view, 3> kDroppedPrefixes{
    "x-forwarded-", "x-keystile-", "x-accel-",
};

// Subprotocols that are a way to send a header.
constexpr std::array<std::string_view, 3> kHeaderProtocols{
    "openai-insecure-api-key.", "openai-organization.", "openai-project.",
};

// Whether a name of that length can be in kDropped at all; most can't.
constexpr bool has_dropped_length(std::size_t length) noexcept {
    std::uint64_t lengths = 0;
    for (auto name : kDropped) {
        lengths |= std::uint64_t{1} << name.size();
    }
    return length < 64 && (lengths >> length & 1) != 0;
}

bool names_any(std::span<const std::string_view> names,
               std::string_view name) noexcept {
    return std::any_of(names.begin(), names.end(),
                       [name](std::string_view one) {
                           return same_header_name(one, name);
                       });
}

bool is_always_dropped(std::string_view name) noexcept {
    if (has_dropped_length(name.size()) && names_any(kDropped, name)) {
        return true;
    }
    return lower(name.front()) == 'x' &&
           std::any_of(kDroppedPrefixes.begin(), kDroppedPrefixes.end(),
                       [name](std::string_view prefix) {
                           return has_header_prefix(name, prefix);
                       });
}

bool carries_header(std::string_view protocol) noexcept {
    return std::any_of(kHeaderProtocols.begin(), kHeaderProtocols.end(),
                       [protocol](std::string_view prefix) {
                           return equals_ignoring_case(
                               protocol.substr(0, prefix.size()), prefix);
                       });
}

template <typename Sink>
void put_protocols(std::string_view list, Sink put) noexcept {
    bool first = true;
    for_each_element(list, ',', [&](std::string_view protocol) {
        if (!carries_header(protocol)) {
            put(std::string_view{first ? "" : ", "});
            put(protocol);
            first = false;
        }
        return true;
    });
}

}  // namespace

bool forwards_request_header(std::string_view name, std::string_view value,
                             const RequestHeadPolicy &policy) noexcept {
    return is_token(name) && is_field_value(value) &&
           !is_always_dropped(name) && !is_credential_header(name) &&
           !same_header_name(name, policy.credential_header) &&
           !names_any(policy.key_headers, name) &&
           !names_any(policy.overridden, name);
}

bool connection_names(std::string_view connection,
                      std::string_view name) noexcept {
    return !for_each_element(connection, ',', [name](std::string_view token) {
        return !same_header_name(token, name);
    });
}

std::size_t WebSocketProtocols::size() const noexcept {
    std::size_t size = 0;
    put_protocols(list, [&size](std::string_view s) { size += s.size(); });
    return size;
}

char *WebSocketProtocols::write(char *out) const noexcept {
    put_protocols(list, [&out](std::string_view s) {
        out = std::copy(s.begin(), s.end(), out);
    });
    return out;
}

}  // namespace keystile
