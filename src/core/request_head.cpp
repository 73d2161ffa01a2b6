#include "request_head.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "ascii.hpp"
#include "key_header.hpp"

namespace keystile {
namespace {

// Written by us, bound to one connection, about the client, or another method
// than the one that was admitted. Credentials are is_credential_header's.
constexpr std::array<std::string_view, 29> kDropped{
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
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
};

constexpr std::array<std::string_view, 3> kDroppedPrefixes{
    "x-forwarded-",
    "x-keystile-",
    "x-accel-",
};

// Subprotocols that are a way to send a header.
constexpr std::array<std::string_view, 3> kHeaderProtocols{
    "openai-insecure-api-key.",
    "openai-organization.",
    "openai-project.",
};

bool names_any(std::span<const std::string_view> names,
               std::string_view name) noexcept {
    for (auto one : names) {
        if (one.size() == name.size() && same_header_name(one, name)) {
            return true;
        }
    }
    return false;
}

// kDropped by length: those of length n are from kByLength[n] to before
// kByLength[n + 1]. Most names have no other of their length in it.
constexpr std::size_t kLongestDropped = 24;

constexpr auto kSorted = [] {
    auto names = kDropped;
    std::sort(names.begin(), names.end(),
              [](auto a, auto b) { return a.size() < b.size(); });
    return names;
}();

constexpr auto kByLength = [] {
    std::array<std::uint8_t, kLongestDropped + 2> first{};
    for (std::size_t length = 0; length < first.size(); length++) {
        for (auto name : kSorted) {
            first[length] = static_cast<std::uint8_t>(first[length] +
                                                      (name.size() < length));
        }
    }
    return first;
}();

static_assert(kSorted.back().size() <= kLongestDropped);

bool is_always_dropped(std::string_view name) noexcept {
    if (name.size() <= kLongestDropped) {
        auto first = kByLength[name.size()];
        auto last = kByLength[name.size() + 1];
        if (names_any(std::span{kSorted}.subspan(first, last - first), name)) {
            return true;
        }
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
           !names_any(policy.key_headers, name) &&
           !names_any(policy.more_headers, name) &&
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
