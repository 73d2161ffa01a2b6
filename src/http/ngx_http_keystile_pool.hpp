// Which credential a request is sent with: the caller's own, the one of the
// location, or one of its pool; and with which next, when the provider
// refuses it.

#pragma once

#include "ngx/nginx.hpp"

#include "core/credential_state.hpp"
#include "core/denial.hpp"

namespace keystile {

class Exchange;
struct Credential;
struct LocConf;

// What a request has to do with the pool of its location.
struct Loan {
    const Credential *next = nullptr;  // of the try to come
    ngx_buf_t *line = nullptr;         // the credential, in the request chain
    std::uint32_t tried = 0;  // a bit for each place in the location's list
    ngx_uint_t refused_status = 0;  // of the try before the one to come
    ngx_event_free_peer_pt free_peer = nullptr;  // what ours stands before
    bool excused = false;                        // see excuse_peer()
};

// Whether Authorization carries a credential of the caller's own: neither a
// client key of any set nor a placeholder.
bool presents_own_credential(ngx_http_request_t *r) noexcept;

// Chooses what an admitted request is sent with. False after refusing it.
bool lend_credential(ngx_http_request_t *r, Exchange &exchange) noexcept;

// Counts that a request goes out with it.
void note_sent(const Exchange &exchange) noexcept;

// Before the first byte of a try: prepares for keystile_next_credential's
// "error" and "timeout".
void expect_failure(ngx_http_request_t *r, Exchange &exchange) noexcept;

// The connection is given up for no fault of its server, nor of a credential:
// none is held against them, and all servers may be tried again.
void excuse_peer(ngx_http_request_t *r, Exchange &exchange) noexcept;

// For a reply, known by its head, that refuses the credential which was sent.
// Notes it; true when the request is to be sent again with the next one: then
// process_header must return NGX_OK, and reinit_request will swap them.
bool go_on_with_next(ngx_http_request_t *r, Exchange &exchange,
                     CredentialFault fault) noexcept;

// On an open WebSocket, the provider refused the credential by an error: the
// next handshake is not for this one. Nothing where none of ours is in use.
void note_refused_turn(ngx_http_request_t *r, const Exchange &exchange,
                       CredentialFault fault) noexcept;

// In reinit_request: makes the next credential the one that is sent. The
// try before does not count as sent, if it was a reply that ended it.
void swap_credential(ngx_http_request_t *r, Exchange &exchange) noexcept;

// Whether this location has several credentials and all of them cool down.
// Otherwise nothing.
std::optional<Outage> pool_outage(const LocConf &conf) noexcept;

// How a request is refused then.
Denial denial_of(const Outage &outage) noexcept;

// Seconds until it makes sense to try again with another credential.
std::int64_t seconds_until_next(const LocConf &conf) noexcept;

}  // namespace keystile
