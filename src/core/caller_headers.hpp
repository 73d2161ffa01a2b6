// What the gate needs of a request's headers, gathered in one pass over them
// and in fixed memory.

#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace keystile {

inline constexpr std::size_t kMostKeyHeaders = 8;
inline constexpr std::size_t kMostConnectionNames = 32;
inline constexpr std::size_t kMostConnectionLines = 4;
inline constexpr std::size_t kMostConnectionElements = 64;

// Those that CallerHeaders looks at, beside credentials.
inline constexpr std::array<std::string_view, 4> kCallerHeaders{
    "upgrade",
    "connection",
    "x-request-id",
    "anthropic-version",
};

class CallerHeaders {
public:
    // Requires at most kMostKeyHeaders names, without two of the same, that
    // outlive this object.
    explicit constexpr CallerHeaders(
        std::span<const std::string_view> key_headers) noexcept
        : key_headers_{key_headers} {}

    // To be called once for each header line that is one of kCallerHeaders, of
    // kCredentialHeaders or of the list; others change nothing. With views
    // that outlive this object.
    void see(std::string_view name, std::string_view value) noexcept;

    std::span<const std::string_view> key_headers() const noexcept {
        return key_headers_;
    }

    // The value of the key header at that place in the list; empty when it
    // was not sent.
    std::string_view presented(std::size_t place) const noexcept {
        return presented_[place];
    }

    // Whether some key header came in more than one line.
    bool has_doubled_key_header() const noexcept { return doubled_; }

    // Credential headers seen, in any spelling, of the built-in names and of
    // the list; a client may send an empty one by habit, so those don't count.
    std::size_t credentials_seen() const noexcept { return credentials_; }

    // Whether the headers ask for a WebSocket: "upgrade" among the tokens of
    // Connection and "websocket" among those of Upgrade, over all lines of
    // each (RFC 6455 section 4.2.1, RFC 9110 section 7.8).
    bool asks_for_websocket() const noexcept {
        return connection_upgrade_ && upgrade_websocket_;
    }

    // The values of Connection that name headers beyond its own options; those
    // are not forwarded (RFC 9110 section 7.6.1). Not all of them, where they
    // are too many.
    std::span<const std::string_view> connection_lines() const noexcept {
        return {connection_lines_.data(), connection_line_count_};
    }

    // Whether Connection names more headers than anyone has a use for, in too
    // many lines, or with too much between them: every other header is
    // compared with all of it.
    bool connection_names_too_many() const noexcept {
        return connection_names_ > kMostConnectionNames ||
               connection_elements_ > kMostConnectionElements ||
               too_many_connection_lines_;
    }

    bool has_anthropic_version() const noexcept { return anthropic_; }

    // The first X-Request-Id, when it is one that we accept.
    std::string_view request_id() const noexcept { return request_id_; }

private:
    void see_key_header(std::size_t place, std::string_view value) noexcept;
    void see_connection(std::string_view value) noexcept;

    std::span<const std::string_view> key_headers_;
    std::array<std::string_view, kMostKeyHeaders> presented_{};
    std::string_view request_id_;
    std::size_t credentials_ = 0;
    std::size_t connection_names_ = 0;
    std::size_t connection_elements_ = 0;  // empty ones and options, too
    std::array<std::string_view, kMostConnectionLines> connection_lines_{};
    std::size_t connection_line_count_ = 0;
    bool too_many_connection_lines_ = false;
    unsigned sent_ = 0;  // a bit for each key header
    bool doubled_ = false;
    bool connection_upgrade_ = false;
    bool upgrade_websocket_ = false;
    bool anthropic_ = false;
};

// 1 to 128 letters, digits, '.', '_' and '-': what may stand in a log line
// and in a header without being escaped.
inline constexpr std::size_t kLongestRequestId = 128;
bool is_request_id(std::string_view id) noexcept;

}  // namespace keystile
