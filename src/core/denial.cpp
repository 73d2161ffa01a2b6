#include "denial.hpp"

namespace keystile {
namespace {

constexpr std::string_view kInvalidRequest = "invalid_request_error";
constexpr std::string_view kAuthentication = "authentication_error";
constexpr std::string_view kPermission = "permission_error";
constexpr std::string_view kApi = "api_error";

}  // namespace

ErrorReply describe(Denial denial) noexcept {
    switch (denial) {
    case Denial::bad_request_target:
        return {400, kInvalidRequest, "bad_request_target",
                "Bad request target", false};
    case Denial::duplicate_key_header:
        return {400, kInvalidRequest, "duplicate_key_header",
                "A header that carries the API key was sent more than once",
                false};
    case Denial::too_many_connection_options:
        return {400, kInvalidRequest, "bad_request",
                "Connection names too many headers", false};
    case Denial::bad_request_body:
        return {400, kInvalidRequest, "bad_request_body",
                "A WebSocket handshake must not have a body", false};
    case Denial::missing_key:
        return {401, kAuthentication, "invalid_api_key", "Missing API key",
                false};
    case Denial::invalid_key:
        return {401, kAuthentication, "invalid_api_key", "Invalid API key",
                false};
    case Denial::expired_key:
        return {401, kAuthentication, "invalid_api_key", "API key has expired",
                false};
    case Denial::path_not_allowed:
        return {403, kPermission, "path_not_allowed",
                "This path is not allowed here", false};
    case Denial::query_not_allowed:
        return {403, kPermission, "path_not_allowed",
                "This path is not allowed with these query parameters", false};
    case Denial::key_in_query:
        return {403, kPermission, "path_not_allowed",
                "API keys are not accepted in the query string", false};
    case Denial::client_not_allowed:
        return {403, kPermission, "client_not_allowed",
                "This API key is not allowed to make this request", false};
    case Denial::address_not_allowed:
        return {403, kPermission, "address_not_allowed",
                "This API key is not allowed from this address", false};
    case Denial::foreign_credential:
        return {403, kPermission, "foreign_credential",
                "A credential was sent where none is accepted", false};
    case Denial::method_not_allowed:
        return {405, kInvalidRequest, "method_not_allowed",
                "This method is not allowed for this path", false};
    case Denial::websocket_not_allowed:
        return {426, kInvalidRequest, "websocket_not_allowed",
                "WebSocket is not available for this path; use HTTP", false};
    case Denial::upstream_credential_rejected:
        return {503, kApi, "upstream_credential_rejected",
                "The provider does not accept the gateway's credential", true};
    case Denial::upstream_forbidden:
        return {403, kPermission, "upstream_forbidden",
                "The provider refused this request", false};
    case Denial::upstream_bad_request:
        return {400, kInvalidRequest, "upstream_bad_request",
                "The provider refused this request, and what it says cannot "
                "be read",
                false};
    case Denial::unreadable_model:
        return {400, kInvalidRequest, "bad_request_body",
                "The request must name one model, in JSON that can be read",
                false};
    case Denial::model_not_allowed:
        return {400, kInvalidRequest, "model_not_allowed",
                "This API key is not allowed to use this model", false};
    case Denial::rate_limit_exceeded:
        return {429, "rate_limit_error", "rate_limit_exceeded",
                "This API key has reached its limit", true};
    case Denial::usage_limit_reached:
        return {429, "usage_limit_reached", "usage_limit_reached",
                "This API key has used up its budget", false};
    case Denial::metering_unavailable:
        return {503, kApi, "metering_unavailable",
                "The limits of this API key cannot be checked now", true};
    case Denial::body_too_large:
        return {413, kInvalidRequest, "payload_too_large",
                "The request body is too large", false};
    case Denial::own_credential_missing:
        return {401, kAuthentication, "credential_missing",
                "No credential is kept here for this path: log in to the "
                "provider yourself (for Codex, \"codex login\"), and send its "
                "token in the Authorization header",
                false};
    case Denial::credentials_rejected:
        return {503, kApi, "credential_unavailable",
                "The provider has lately refused all of the gateway's "
                "credentials",
                true};
    case Denial::credentials_limited:
        return {429, "rate_limit_error", "rate_limit_exceeded",
                "All of the gateway's credentials have reached the provider's "
                "rate limit",
                true};
    case Denial::credentials_used_up:
        return {429, "usage_limit_reached", "usage_limit_reached",
                "All of the gateway's credentials have reached the provider's "
                "usage limit",
                false};
    }
    return {500, kApi, "internal_error", "Internal error", true};
}

ErrorReply describe_status(unsigned status) noexcept {
    switch (status) {
    case 400:
        return {400, kInvalidRequest, "bad_request", "Bad request", false};
    case 401:
        return {401, kAuthentication, "unauthorized", "Unauthorized", false};
    case 403:
        return {403, kPermission, "forbidden", "Forbidden", false};
    case 404:
        return {404, kInvalidRequest, "not_found", "Not found", false};
    case 405:
        return {405, kInvalidRequest, "method_not_allowed",
                "This method is not allowed for this path", false};
    case 408:
        return {408, kInvalidRequest, "request_timeout",
                "The request took too long to arrive", true};
    case 411:
        return {411, kInvalidRequest, "length_required", "Length required",
                false};
    case 413:
        return {413, kInvalidRequest, "payload_too_large",
                "The request body is too large", false};
    case 414:
        return {414, kInvalidRequest, "uri_too_long",
                "The request target is too long", false};
    case 429:
        return {429, "rate_limit_error", "rate_limit_exceeded",
                "Too many requests", true};
    case 502:
        return {502, kApi, "upstream_unavailable",
                "The provider could not be reached", true};
    case 503:
        return {503, kApi, "service_unavailable", "Service unavailable", true};
    case 504:
        return {504, kApi, "upstream_timeout",
                "The provider took too long to answer", true};
    default:
        break;
    }
    if (status < 500) {
        return {status, kInvalidRequest, "bad_request", "Bad request", false};
    }
    return {status, kApi, "internal_error", "Internal error", true};
}

}  // namespace keystile
