// Why a request did not go upstream: our own refusals, and nginx's own errors
// in a location of ours. One table gives each its status, its place in the
// providers' error vocabulary and its words.

#pragma once

#include <cstddef>
#include <string_view>

namespace keystile {

enum class Denial : unsigned char {
    bad_request_target,
    duplicate_key_header,
    too_many_connection_options,
    bad_request_body,
    missing_key,
    invalid_key,
    expired_key,
    path_not_allowed,
    query_not_allowed,
    key_in_query,
    client_not_allowed,
    address_not_allowed,
    foreign_credential,
    method_not_allowed,
    websocket_not_allowed,
    upstream_credential_rejected,
    upstream_forbidden,
    upstream_bad_request,
    unreadable_model,
    model_not_allowed,
    rate_limit_exceeded,
    usage_limit_reached,
    metering_unavailable,
    body_too_large,
    own_credential_missing,
    credentials_rejected,
    credentials_limited,
    credentials_used_up,
};
inline constexpr std::size_t kDenials = 28;

struct ErrorReply {
    unsigned status;
    std::string_view type;
    std::string_view code;
    std::string_view message;
    bool retry_helps;  // false: the reply carries "x-should-retry: false"
};

// The reply to a denial. To the message of missing_key, the location's key
// headers are added: " in Authorization header or x-api-key header".
ErrorReply describe(Denial denial) noexcept;

// The reply to an error that nginx itself answers with `status`.
ErrorReply describe_status(unsigned status) noexcept;

}  // namespace keystile
