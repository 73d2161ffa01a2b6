#include "request_head.hpp"

#include <algorithm>
#include <array>

#include "ascii.hpp"
#include "caller_headers.hpp"
#include "key_header.hpp"

namespace keystile {
namespace {

// Written by us, bound to one connection, about the client, or another method
// than the one that was admitted. Credentials are is_credential_header's. What
// most requests have is first.
constexpr std::array<std::string_view, 30> kDropped{
    "host",
    "content-length",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
    "expect",
    "cookie",
    "cookie2",
    "openai-organization",
    "openai-project",
    "x-goog-user-project",
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

// What a client offers to unpack, or wants to have of a reply: Google leaves
// out what is not named there, the usage too.
constexpr std::array<std::string_view, 3> kHidingHeaders{
    "accept-encoding",
    "sec-websocket-extensions",
    "x-goog-fieldmask",
};

// Subprotocols that are a way to send a header: OpenAI's, xAI's and Mistral's.
constexpr std::array<std::string_view, 5> kHeaderProtocols{
    "openai-insecure-api-key.",
    "openai-organization.",
    "openai-project.",
    "xai-client-secret.",
    "rt_",
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

bool is_always_dropped(std::string_view name) noexcept {
    return names_any(kDropped, name) ||
           std::any_of(kDroppedPrefixes.begin(), kDroppedPrefixes.end(),
                       [name](std::string_view prefix) {
                           return has_header_prefix(name, prefix);
                       });
}

bool is_dropped(std::string_view name,
                const RequestHeadPolicy &policy) noexcept {
    return is_credential_header(name) || is_always_dropped(name) ||
           names_any(policy.key_headers, name) ||
           names_any(policy.more_headers, name) ||
           names_any(policy.overridden, name);
}

void add(HeaderNames &all, std::span<const std::string_view> names) noexcept {
    for (auto name : names) {
        all.add(name);
    }
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
        if (is_header_name(protocol) && !carries_header(protocol)) {
            put(std::string_view{first ? "" : ", "});
            put(protocol);
            first = false;
        }
        return true;
    });
}

}  // namespace

void RequestHeadPolicy::index() noexcept {
    HeaderNames names;
    add(names, kDropped);
    add(names, kCredentialHeaders);
    add(names, kCallerHeaders);
    add(names, kHidingHeaders);
    add(names, key_headers);
    add(names, overridden);
    for (auto prefix : kDroppedPrefixes) {
        names.add_prefix(prefix);
    }
    add(names, more_headers);
    special = names;
}

bool forwards_request_header(std::string_view name, std::string_view value,
                             const RequestHeadPolicy &policy) noexcept {
    return is_header_name(name) && is_field_value(value) &&
           !(policy.special.may_hold(name) && is_dropped(name, policy));
}

bool hides_reply(std::string_view name) noexcept {
    return names_any(kHidingHeaders, name);
}

bool connection_names(std::string_view connection,
                      std::string_view name) noexcept {
    return !for_each_element(connection, ',', [name](std::string_view token) {
        return !same_header_name(token, name);
    });
}

bool connection_names(std::span<const std::string_view> connections,
                      std::string_view name) noexcept {
    return std::any_of(connections.begin(), connections.end(),
                       [name](std::string_view line) {
                           return connection_names(line, name);
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
