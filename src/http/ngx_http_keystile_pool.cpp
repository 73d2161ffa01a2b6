#include "ngx_http_keystile_pool.hpp"

#include <bit>

#include "core/cooldown.hpp"
#include "core/own_credential.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_process.hpp"
#include "ngx_http_keystile_traces.hpp"

namespace keystile {
namespace {

// Beyond that, a client is told that a budget is used up, which stops Codex
// and the SDKs at once, and not to try again after a while.
constexpr std::int64_t kSoon = 60;  // seconds

// The states of a location's credentials.
class States {
public:
    explicit States(const LocConf &conf) noexcept {
        for (const auto *credential : conf.route->credentials) {
            states_[size_++] = credential->state;
        }
    }
    CredentialStates view() const noexcept {
        return CredentialStates{states_}.first(size_);
    }

private:
    std::array<const CredentialState *, kMostPooled> states_;
    std::size_t size_ = 0;
};

// A lone credential is sent whatever came of it before, unless the
// configuration says otherwise: there is none to spare it for.
bool cools_down(const LocConf &conf) noexcept {
    return conf.next_credential->conditions != 0 &&
           (conf.route->credentials.size() > 1 ||
            conf.next_credential->is_given);
}

// What a fault is in keystile_next_credential, and as a status.
struct Fault {
    ngx_uint_t condition;
    ngx_uint_t status;
};

constexpr Fault describe(CredentialFault fault) noexcept {
    switch (fault) {
    case CredentialFault::rejected:
        return {NextCredential::on_401, NGX_HTTP_UNAUTHORIZED};
    case CredentialFault::forbidden:
        return {NextCredential::on_403, NGX_HTTP_FORBIDDEN};
    case CredentialFault::rate_limited:
        return {NextCredential::on_429, NGX_HTTP_TOO_MANY_REQUESTS};
    }
    return {};
}

// The next that may be sent, which counts as tried from then on; or null.
const Credential *choose(const LocConf &conf, Loan &loan) noexcept {
    auto most = conf.next_credential->tries;
    if (most != 0 &&
        static_cast<ngx_uint_t>(std::popcount(loan.tried)) >= most) {
        return nullptr;
    }
    auto place =
        choose_credential(States{conf}.view(), loan.tried, ngx_time());
    if (!place) {
        return nullptr;
    }
    loan.tried |= std::uint32_t{1} << *place;
    return conf.route->credentials[*place];
}

bool is_client_key(const MainConf &conf, std::string_view key) noexcept {
    Sha256Digest digest;
    if (!process_sha256().digest(key, digest)) {
        return true;
    }
    for (const auto *set : ngx::elements<ClientSet *>(&conf.client_sets)) {
        if (set->keys.find(digest) != nullptr) {
            return true;
        }
    }
    return false;
}

bool is_placeholder(const MainConf &conf, std::string_view key) noexcept {
    for (auto one : ngx::elements<std::string_view>(&conf.placeholders)) {
        if (one == key) {
            return true;
        }
    }
    return false;
}

bool refuse(Exchange &exchange, const Outage &outage) noexcept {
    exchange.refuse(denial_of(outage), outage.back_at);
    return false;
}

// Lends the one of several that is best, or refuses.
bool lend_from_pool(const LocConf &conf, Exchange &exchange) noexcept {
    exchange.credential = choose(conf, exchange.loan);
    if (exchange.credential != nullptr) {
        return true;
    }
    return refuse(exchange, outage_of(States{conf}.view(), ngx_time()));
}

// How long the reply wants the credential to be left alone.
std::int64_t back_at(ngx_http_request_t *r, const LocConf &conf) noexcept {
    CooldownHeaders headers;
    ngx::for_each_header(
        r->upstream->headers_in.headers, [&](ngx_table_elt_t &h) {
            bool may_be_date = h.value.len > 20;
            auto date = may_be_date
                            ? ngx_parse_http_time(h.value.data, h.value.len)
                            : -1;
            headers.see(ngx::view(h.key), ngx::view(h.value), date,
                        ngx_time());
            return true;
        });
    return headers.until(conf.next_credential->cooldown, ngx_time());
}

void cool_down(ngx_http_request_t *r, const Credential &credential,
               std::int64_t until, ngx_uint_t status) noexcept {
    auto *now = ngx_timeofday();
    credential.state->cool_down(
        static_cast<std::int64_t>(now->sec) * 1000 + now->msec, until);
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "credential \"%V\" is left alone for %T seconds: the "
                  "provider answered %ui",
                  &credential.name, static_cast<time_t>(until - ngx_time()),
                  status);
}

bool has_time(ngx_http_request_t *r, const LocConf &conf) noexcept {
    auto limit = conf.upstream.next_upstream_timeout;
    return limit == 0 ||
           ngx_current_msec - r->upstream->peer.start_time < limit;
}

// Has the balancer begin anew, as for another request: a reply to one
// credential is no reason to leave out the server that gave it. nginx's own
// state counts servers that were tried, and a single one as none left.
void restart_balancer(ngx_http_request_t *r) noexcept {
    auto *u = r->upstream;
    auto &pc = u->peer;
    const auto &conf = *loc_conf(r);
    auto tries = pc.tries;

    if (conf.resolved == nullptr) {
        auto *group = conf.upstream.upstream;
        pc.data = nullptr;
        pc.notify = nullptr;  // balancers that set it call what was there
        if (group->peer.init(r, group) != NGX_OK) {
            pc.tries = 0;
            return;
        }
    } else if (pc.get == ngx_http_upstream_get_round_robin_peer) {
        auto &rr = *static_cast<ngx_http_upstream_rr_peer_data_t *>(pc.data);
        ngx::forget_tried_peers(rr);
        pc.tries = ngx_max(tries, ngx_uint_t{1});
    }
    auto most = conf.upstream.next_upstream_tries;
    if (most != 0 && pc.tries > most) {
        pc.tries = most;
    }
}

ngx_http_upstream_t *upstream_of(ngx_peer_connection_t *pc) noexcept {
    auto *bytes = reinterpret_cast<char *>(pc);
    return reinterpret_cast<ngx_http_upstream_t *>(
        bytes - offsetof(ngx_http_upstream_t, peer));
}

// Whether keystile_next_credential has the next credential sent after this
// failure. A kept connection that had gone stale says nothing about one, nor
// does one that took no byte.
bool is_reason(const ngx_http_upstream_t &u, const LocConf &conf) noexcept {
    const auto *c = u.peer.connection;
    if (u.headers_in.status_n != 0 || u.peer.cached || c == nullptr ||
        !u.request_sent) {
        return false;
    }
    bool timed_out = c->read->timedout || c->write->timedout;
    return (conf.next_credential->conditions &
            (timed_out ? NextCredential::on_timeout
                       : NextCredential::on_error)) != 0;
}

void free_peer(ngx_peer_connection_t *pc, void *data,
               ngx_uint_t state) noexcept {
    auto *u = upstream_of(pc);
    auto *r = static_cast<ngx_http_request_t *>(u->input_filter_ctx);
    auto &exchange = *Exchange::find(r);
    const auto &conf = *loc_conf(r);
    auto &loan = exchange.loan;

    bool excused = std::exchange(loan.excused, false);
    bool failed =
        (state & NGX_PEER_FAILED) != 0 && !excused && is_reason(*u, conf);
    if (failed && loan.next == nullptr) {
        loan.next = choose(conf, loan);
    }
    pc->free = std::exchange(loan.free_peer, nullptr);
    pc->free(pc, data, excused ? NGX_PEER_NEXT : state);
    if (excused || loan.next != nullptr) {
        restart_balancer(r);
    }
    // nginx gives back the try that it takes a kept connection to have been.
    if (excused && pc->cached && pc->tries != 0) {
        pc->tries--;
    }
}

void stand_before_free(ngx_http_upstream_t &u, Loan &loan) noexcept {
    if (loan.free_peer == nullptr) {
        loan.free_peer = std::exchange(u.peer.free, free_peer);
    }
}

}  // namespace

bool presents_own_credential(ngx_http_request_t *r) noexcept {
    const auto *h = r->headers_in.authorization;
    auto authorization =
        h == nullptr ? std::nullopt : parse_authorization(ngx::view(h->value));
    if (!authorization || !is_for_provider(*authorization)) {
        return false;
    }
    const auto &conf = *main_conf(r);
    return !is_placeholder(conf, authorization->credentials) &&
           !is_client_key(conf, authorization->credentials);
}

bool lend_credential(ngx_http_request_t *r, Exchange &exchange) noexcept {
    const auto &conf = *loc_conf(r);
    const auto &route = *conf.route;
    exchange.loan = {};
    exchange.credential = nullptr;
    exchange.lends_own = false;

    if (!route.injects) {
        return true;
    }
    exchange.lends_own = route.passthrough && exchange.presents_own();
    if (exchange.lends_own) {
        return true;
    }
    if (route.credentials.empty()) {
        exchange.refuse(Denial::own_credential_missing);
        return false;
    }
    if (cools_down(conf)) {
        return lend_from_pool(conf, exchange);
    }
    exchange.credential = route.credentials[0];
    exchange.loan.tried = 1;
    return true;
}

void note_sent(const Exchange &exchange) noexcept {
    if (exchange.credential != nullptr) {
        exchange.credential->state->sent.fetch_add(1,
                                                   std::memory_order_relaxed);
    }
}

void expect_failure(ngx_http_request_t *r, Exchange &exchange) noexcept {
    constexpr ngx_uint_t kFailures =
        NextCredential::on_error | NextCredential::on_timeout;
    // Of others, nobody knows whether they were processed.
    bool repeatable = (r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD)) != 0;
    const auto &conf = *loc_conf(r);
    if (exchange.credential != nullptr && repeatable &&
        (conf.next_credential->conditions & kFailures) != 0) {
        stand_before_free(*r->upstream, exchange.loan);
    }
}

void excuse_peer(ngx_http_request_t *r, Exchange &exchange) noexcept {
    exchange.loan.excused = true;
    r->upstream->conf = &loc_conf(r)->next_try;  // until something is sent
    stand_before_free(*r->upstream, exchange.loan);
}

bool go_on_with_next(ngx_http_request_t *r, Exchange &exchange,
                     CredentialFault fault) noexcept {
    auto *u = r->upstream;
    const auto &conf = *loc_conf(r);
    auto &loan = exchange.loan;
    auto &credential = *exchange.credential;

    // It was there before the credential was: it speaks of something else. And
    // nginx reinits only what it has begun to send.
    if (!u->request_sent) {
        return false;
    }
    credential.state->refuse(fault);
    if ((conf.next_credential->conditions & describe(fault).condition) == 0 ||
        !cools_down(conf)) {
        return false;
    }
    cool_down(r, credential, back_at(r, conf), u->headers_in.status_n);
    if (r->request_body_no_buffering || !has_time(r, conf)) {
        return false;
    }
    loan.next = choose(conf, loan);
    if (loan.next == nullptr) {
        return false;
    }

    // nginx goes on to another server for the statuses it knows, of which 403
    // is the one that it does not hold against the server.
    loan.refused_status = u->headers_in.status_n;
    forget_reply(u);
    u->headers_in.status_n = NGX_HTTP_FORBIDDEN;
    u->conf = &loc_conf(r)->next_try;
    stand_before_free(*u, loan);
    u->peer.tries = ngx_max(u->peer.tries, ngx_uint_t{2});
    return true;
}

void note_refused_turn(ngx_http_request_t *r, const Exchange &exchange,
                       CredentialFault fault) noexcept {
    const auto &conf = *loc_conf(r);
    if (exchange.credential == nullptr) {
        return;
    }
    exchange.credential->state->refuse(fault);
    auto [condition, status] = describe(fault);
    if (cools_down(conf) &&
        (conf.next_credential->conditions & condition) != 0) {
        cool_down(r, *exchange.credential,
                  ngx_time() + conf.next_credential->cooldown, status);
    }
}

void swap_credential(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto &loan = exchange.loan;
    if (loan.next == nullptr) {
        return;
    }
    const auto &permit = **exchange.decision();
    exchange.credential = std::exchange(loan.next, nullptr);
    auto line = ngx::str(exchange.credential->line(permit));
    loan.line->start = loan.line->pos = line.data;
    loan.line->end = loan.line->last = line.data + line.len;
    r->upstream->conf = &loc_conf(r)->upstream;

    auto status = std::exchange(loan.refused_status, 0);
    if (status == 0) {
        return;  // it was a failure
    }
    exchange.attempt.was_sent = false;
    auto states = ngx::elements<ngx_http_upstream_state_t>(r->upstream_states);
    if (states.size() > 1) {
        states[states.size() - 2].status = status;
    }
}

std::optional<Outage> pool_outage(const LocConf &conf) noexcept {
    if (conf.route->credentials.size() < 2 || !cools_down(conf)) {
        return std::nullopt;
    }
    auto outage = outage_of(States{conf}.view(), ngx_time());
    return outage.back_at > ngx_time() ? std::optional{outage} : std::nullopt;
}

Denial denial_of(const Outage &outage) noexcept {
    if (!outage.rate_limited) {
        return Denial::credentials_rejected;
    }
    return outage.back_at - ngx_time() > kSoon ? Denial::credentials_used_up
                                               : Denial::credentials_limited;
}

std::int64_t seconds_until_next(const LocConf &conf) noexcept {
    if (!cools_down(conf)) {
        return conf.next_credential->cooldown;
    }
    auto outage = outage_of(States{conf}.view(), ngx_time());
    return ngx_max(outage.back_at - ngx_time(), std::int64_t{1});
}

}  // namespace keystile
