// Between admission and the provider: whether the client may use the model,
// and whether there is room in its limits.

#pragma once

#include "ngx/nginx.hpp"

#include "core/admission.hpp"
#include "core/model_name.hpp"

namespace keystile {

class Exchange;

// The model that the target of a WebSocket names, as that of the Realtime
// interface does; empty where it names none, or several, or a deployment.
ModelName named_model(const Permit &permit) noexcept;

// Whether the client may use the model that the target of a WebSocket names.
// False after a refusal, which is then the exchange's decision.
bool check_socket_model(Exchange &exchange) noexcept;

// Begins to meter an admitted request, and looks for room in its client's
// limits; where a rule needs the model, that waits for the body. False after
// a refusal, which is then the exchange's decision.
bool check_limits(ngx_http_request_t *r, Exchange &exchange) noexcept;

// Whether the model is one of a client's; every one is where it has none.
bool may_use(std::span<const std::string_view> models,
             std::string_view model) noexcept;

// Whether the request body has to be there, whole, before the provider may
// be asked.
bool needs_body(ngx_http_request_t *r, const Exchange &exchange) noexcept;

// ngx_http_client_body_handler_pt: what was put off is done, and then
// ngx_http_upstream_init() or the refusal.
void check_body(ngx_http_request_t *r) noexcept;

}  // namespace keystile
