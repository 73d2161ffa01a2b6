#include "denial_name.hpp"

namespace keystile {

std::string_view name_of(Denial denial) noexcept {
    switch (denial) {
    case Denial::bad_request_target:
        return "bad_request_target";
    case Denial::duplicate_key_header:
        return "duplicate_key_header";
    case Denial::too_many_connection_options:
        return "too_many_connection_options";
    case Denial::bad_request_body:
        return "bad_request_body";
    case Denial::missing_key:
        return "missing_key";
    case Denial::invalid_key:
        return "invalid_key";
    case Denial::expired_key:
        return "expired_key";
    case Denial::path_not_allowed:
        return "path_not_allowed";
    case Denial::query_not_allowed:
        return "query_not_allowed";
    case Denial::key_in_query:
        return "key_in_query";
    case Denial::client_not_allowed:
        return "client_not_allowed";
    case Denial::address_not_allowed:
        return "address_not_allowed";
    case Denial::foreign_credential:
        return "foreign_credential";
    case Denial::method_not_allowed:
        return "method_not_allowed";
    case Denial::websocket_not_allowed:
        return "websocket_not_allowed";
    case Denial::upstream_credential_rejected:
        return "upstream_credential_rejected";
    case Denial::upstream_forbidden:
        return "upstream_forbidden";
    case Denial::upstream_bad_request:
        return "upstream_bad_request";
    case Denial::unreadable_model:
        return "unreadable_model";
    case Denial::model_not_allowed:
        return "model_not_allowed";
    case Denial::rate_limit_exceeded:
        return "rate_limit_exceeded";
    case Denial::usage_limit_reached:
        return "usage_limit_reached";
    case Denial::metering_unavailable:
        return "metering_unavailable";
    case Denial::body_too_large:
        return "body_too_large";
    case Denial::own_credential_missing:
        return "own_credential_missing";
    case Denial::credentials_rejected:
        return "credentials_rejected";
    case Denial::credentials_limited:
        return "credentials_limited";
    case Denial::credentials_used_up:
        return "credentials_used_up";
    }
    return "unknown";
}

}  // namespace keystile
