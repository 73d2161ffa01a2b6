// Which of the client's request headers go to the provider.
//
// Everything does, except what carries a credential, says who or where the
// client is, belongs to one connection (RFC 9110 section 7.6.1), or is
// written by us. Names are compared with '_' as '-', so that no spelling
// slips through to a server that folds the two.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "header_names.hpp"

namespace keystile {

struct RequestHeadPolicy {
    std::span<const std::string_view> key_headers;
    std::span<const std::string_view> overridden;  // by keystile_set_header
    // Others that may come with the credential that is injected.
    std::span<const std::string_view> more_headers = {};

    // All of these, and those that mean something everywhere: of a request's
    // headers, others need not be looked at. Every name there is, which is as
    // right and slower, until index() was called, after the last change.
    HeaderNames special = HeaderNames::all();
    void index() noexcept;
};

// Whether the line is forwarded as it was sent. A line whose name is no token
// or whose value holds a control byte never is.
bool forwards_request_header(std::string_view name, std::string_view value,
                             const RequestHeadPolicy &policy) noexcept;

// Whether by it a client may get a reply that we could not read: it offers to
// unpack one, or wants but a part.
bool hides_reply(std::string_view name) noexcept;

// Whether `connection`, the value of a Connection line, names that header.
bool connection_names(std::string_view connection,
                      std::string_view name) noexcept;

// The same of any of them.
bool connection_names(std::span<const std::string_view> connections,
                      std::string_view name) noexcept;

// Sec-WebSocket-Protocol lists subprotocols (RFC 6455 section 4.1); browsers,
// which can't set headers there, put "openai-insecure-api-key.<key>" and the
// like in it. What is left of the list without them:
struct WebSocketProtocols {
    std::string_view list;

    // Bytes that write() will write; 0 when nothing is left.
    std::size_t size() const noexcept;

    // Requires size() bytes at `out`; returns the end of what it wrote.
    char *write(char *out) const noexcept;
};

}  // namespace keystile
