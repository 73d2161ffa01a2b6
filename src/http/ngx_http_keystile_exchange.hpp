// One request, from its admission to its end.

#pragma once

#include "ngx/nginx.hpp"

#include <optional>

#include "core/meter_zone.hpp"
#include "core/request_id.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_pool.hpp"
#include "ngx_http_keystile_upload.hpp"

namespace keystile {

class Meter;
struct Outcome;
class Recorder;
class Tunnel;

// What it holds of the request's head are views. nginx reuses that memory once
// a WebSocket is open: after a 101, nothing may look at them. The request id is
// a copy.
//
// Lives in the pool of the main request. Internal redirects, named locations
// and error_page forget a module's context; the object is then found again as
// the pool's cleanup, so that nothing is decided twice.
class Exchange {
public:
    // The exchange of r's main request, or null where there is none yet.
    static Exchange *find(ngx_http_request_t *r) noexcept;

    // The same, made when there is none. Null when out of memory.
    static Exchange *of(ngx_http_request_t *r) noexcept;

    // Decides on the main request in its present location, which must have a
    // route; once for each location it comes to, and anew once realip has found
    // another address. Otherwise a refusal stands, and the caller's identity is
    // kept, over redirects. One log line per refusal.
    const Decision &decide(const Route &route) noexcept;

    // The decision, or null before the first.
    const Decision *decision() const noexcept {
        return decision_ ? &*decision_ : nullptr;
    }

    // Takes an admission back: the request is refused after all. One log line.
    // `back_at`: seconds since the epoch, when it makes sense to try again; 0
    // where nobody knows.
    void refuse(Denial denial, std::int64_t back_at = 0) noexcept;
    void refuse(const UsedUp &used_up) noexcept;

    // Counts what it cost and gives back what was set aside for it, once. To
    // be called when its reply is over: nginx may keep a request for long
    // after that. The destructor does, for all other paths.
    void settle() noexcept;

    // Another location has it sent again after that, as what is left of a reply
    // that a filter has given up: it counts as another request.
    void begin_anew() noexcept;

    // Does so for all that this process has. To be called when it exits: a
    // fast stop leaves their pools as they are.
    static void settle_all() noexcept;

    // The same for this one, before another meter takes over.
    void settle_meter() noexcept;

    // Before another try, of this location or the next.
    void start_try() noexcept;

    // The id that goes up and comes back: the caller's, when it is one we
    // accept, else one of our own.
    std::string_view request_id() noexcept;

    // Whether what passes is read: it must not be packed then.
    bool reads_reply() const noexcept;

    // The shape of our errors for this caller.
    ErrorShape error_shape(const LocConf &conf) const noexcept;

    const CallerHeaders &headers() const noexcept { return headers_; }

    // State of the present try at the upstream; reset by reinit_request.
    struct Try {
        ngx_http_status_t status{};
        ngx_http_chunked_t chunked{};
        bool peer_checked = false;
        bool was_sent = false;  // something was given to the connection
        unsigned interim_replies = 0;
        bool has_request_id = false;     // the reply brought its own
        bool relaying = false;           // its head is being passed on
        bool has_length = false;         // Content-Length was seen
        bool has_coding = false;         // Transfer-Encoding was seen
        bool is_small = false;           // the last piece of its body
        u_char *page = nullptr;          // for its body; see shrink_buffer()
        u_char *refusal_text = nullptr;  // the body of a 403, de-chunked

        // The provider has said that it is one.
        bool is_error() const noexcept {
            return status.code >= NGX_HTTP_SPECIAL_RESPONSE;
        }
    };
    Try attempt;

    // The one that is sent; null before that is known, and where the caller's
    // own is.
    const Credential *credential = nullptr;
    bool lends_own = false;  // Authorization goes up as it came
    Loan loan;

    // Whether the caller sent a credential of its own. Known once decide() has
    // been called for a location with "passthrough".
    bool presents_own() const noexcept { return presents_own_; }

    // What it costs; null where nobody counts.
    Meter *meter = nullptr;
    Tunnel *tunnel = nullptr;      // a WebSocket that is read; else null
    Recorder *recorder = nullptr;  // null where nothing is recorded
    bool may_be_charged = false;   // there was no reply, but not by a failure

    Upload upload;

    // nginx's own reader of the request body, while it is arriving.
    ngx_http_event_handler_pt body_reader = nullptr;

    // The JSON that takes the place of an error page; data is null if there
    // is none.
    ngx_str_t error_text = ngx_null_string;
    bool error_text_sent = false;

    explicit Exchange(ngx_http_request_t *r) noexcept;
    Exchange(const Exchange &) = delete;
    Exchange &operator=(const Exchange &) = delete;

    // Runs once, when the pool is destroyed: on every path.
    ~Exchange();

private:
    void read_headers(std::span<const std::string_view> key_headers,
                      const HeaderNames &special) noexcept;
    Decision make_decision(const Route &route) noexcept;
    Outcome outcome_of_http() const noexcept;
    Refusal *take_back(Denial denial) noexcept;
    void leave_list() noexcept;

    static constinit Exchange *newest_;
    void log_refusal(const Refusal &refusal) const noexcept;

    Exchange *older_ = newest_;  // all of this process are a list
    Exchange *newer_ = nullptr;
    ngx_http_request_t *r_;
    bool is_post_;
    ngx_pool_t *pool_;  // which r_ has no more when this is destroyed
    u_char *head_end_;  // in r_->header_in: at most its body comes after it
    CallerHeaders headers_;
    std::array<char, kLongestRequestId> request_id_;
    std::size_t request_id_size_ = 0;
    const Route *decided_for_ = nullptr;
    ngx_str_t decided_method_ = ngx_null_string;
    const sockaddr *decided_peer_ = nullptr;
    bool taken_back_ = false;  // the decision, which was an admission
    std::optional<Decision> decision_;
    bool presents_own_ = false;
    bool settled_ = false;
    bool was_sent_ = false;  // in a try before the present one
};

}  // namespace keystile
