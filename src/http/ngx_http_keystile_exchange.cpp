#include "ngx_http_keystile_exchange.hpp"

#include "core/limit_text.hpp"
#include "ngx_http_keystile_meter.hpp"
#include "ngx_http_keystile_peer.hpp"
#include "ngx_http_keystile_process.hpp"
#include "ngx_http_keystile_record.hpp"
#include "ngx_http_keystile_traces.hpp"
#include "ngx_http_keystile_tunnel.hpp"

namespace keystile {
namespace {

// The target as it was sent. nginx strips an absolute form to its path, so
// that one is taken from the request line and fails the check of its form.
std::string_view raw_target(ngx_http_request_t *r) noexcept {
    auto line = ngx::view(r->request_line);
    auto method_end = line.find(' ');  // r->method_name may have changed since
    if (method_end != std::string_view::npos) {
        line.remove_prefix(method_end);
        while (!line.empty() && line.front() == ' ') {
            line.remove_prefix(1);
        }
        if (!line.empty() && line.front() != '/') {
            return line;
        }
    }
    return ngx::view(r->unparsed_uri);
}

std::optional<Address> peer_address(const sockaddr *sa) noexcept {
    if (sa->sa_family == AF_INET) {
        std::array<std::uint8_t, 4> v4;
        auto *sin = reinterpret_cast<const sockaddr_in *>(sa);
        ngx_memcpy(v4.data(), &sin->sin_addr, v4.size());
        return Address::from_ipv4(v4);
    }
#if (NGX_HAVE_INET6)
    if (sa->sa_family == AF_INET6) {
        Address address{};
        auto *sin6 = reinterpret_cast<const sockaddr_in6 *>(sa);
        ngx_memcpy(address.bytes.data(), &sin6->sin6_addr,
                   address.bytes.size());
        return address;
    }
#endif
    return std::nullopt;
}

}  // namespace

constinit Exchange *Exchange::newest_ = nullptr;

Exchange::Exchange(ngx_http_request_t *r) noexcept
    : r_{r},
      is_post_{r->method == NGX_HTTP_POST},
      pool_{r->pool},
      head_end_{r->header_in == nullptr ? nullptr : r->header_in->pos},
      headers_{kDefaultKeyHeaders} {
    if (older_ != nullptr) {
        older_->newer_ = this;
    }
    newest_ = this;
    const auto *route = loc_conf(r)->route;
    if (route != nullptr) {
        read_headers(route->policy.key_headers, route->head.special);
    } else {
        read_headers(kDefaultKeyHeaders, HeaderNames::all());
    }
}

Exchange::~Exchange() {
    leave_list();
    settle();
    auto names = ngx::elements<std::string_view>(&main_conf(r_)->key_headers);
    auto special = decided_for_ != nullptr ? decided_for_->head.special
                                           : HeaderNames::all();
    forget_request_head(r_, pool_, head_end_, names, special);
}

void Exchange::read_headers(std::span<const std::string_view> key_headers,
                            const HeaderNames &special) noexcept {
    headers_ = CallerHeaders{key_headers};
    ngx::for_each_header(r_->headers_in.headers, [&](ngx_table_elt_t &h) {
        auto name = ngx::view(h.key);
        if (special.may_hold(name)) {
            headers_.see(name, ngx::view(h.value));
        }
        return true;
    });

    auto id = headers_.request_id();
    if (!id.empty()) {
        std::copy(id.begin(), id.end(), request_id_.begin());
        request_id_size_ = id.size();
    }
}

Exchange *Exchange::find(ngx_http_request_t *r) noexcept {
    r = r->main;
    void *ctx = ngx_http_get_module_ctx(r, ngx_http_keystile_module);
    if (ctx != nullptr) {
        return static_cast<Exchange *>(ctx);
    }

    auto *exchange = ngx::find_owned<Exchange>(r->pool);
    if (exchange != nullptr) {
        ngx_http_set_ctx(r, exchange, ngx_http_keystile_module);
    }
    return exchange;
}

Exchange *Exchange::of(ngx_http_request_t *r) noexcept {
    auto *exchange = find(r);
    if (exchange == nullptr) {
        r = r->main;
        exchange = ngx::make_owned<Exchange>(r->pool, r);
        ngx_http_set_ctx(r, exchange, ngx_http_keystile_module);
    }
    return exchange;
}

const Decision &Exchange::decide(const Route &route) noexcept {
    bool moved = decided_peer_ != r_->connection->sockaddr && !taken_back_;
    bool refused = decision_ && !decision_->has_value() && !moved;
    bool same = !moved && decided_for_ == &route &&
                ngx::view(decided_method_) == ngx::view(r_->method_name);
    if (refused || same) {
        return *decision_;
    }

    if (moved) {
        decision_.reset();  // nor is the identity kept
    }
    decision_ = make_decision(route);
    decided_peer_ = r_->connection->sockaddr;
    decided_for_ = &route;
    decided_method_ = r_->method_name;
    if (!*decision_) {
        log_refusal(decision_->error());
    }
    return *decision_;
}

Decision Exchange::make_decision(const Route &route) noexcept {
    std::optional<Identity> known;
    if (decision_) {
        known = (*decision_)->identity();
    }
    if (headers_.key_headers().data() != route.policy.key_headers.data()) {
        // Of the location that it came to.
        read_headers(route.policy.key_headers, route.head.special);
    }

    presents_own_ = route.passthrough && presents_own_credential(r_);

    Inquiry inquiry{
        .method = ngx::view(r_->method_name),
        .target = raw_target(r_),
        .headers = headers_,
        .peer = peer_address(r_->connection->sockaddr),
        .now = ngx_time(),
        .can_upgrade = r_->http_version == NGX_HTTP_VERSION_11,
        .has_body =
            r_->headers_in.content_length_n > 0 || r_->headers_in.chunked,
        .lends_own = presents_own_,
    };
    return keystile::decide(route.policy, inquiry, process_sha256(),
                            known ? &*known : nullptr);
}

// The refusal, yet to be logged.
Refusal *Exchange::take_back(Denial denial) noexcept {
    const auto &permit = **decision_;
    Refusal refusal{};
    refusal.denial = denial;
    refusal.pattern = permit.rule().path;
    refusal.identity = permit.identity();
    if (refusal.identity.client != nullptr) {
        refusal.client = refusal.identity.client->id;
    }
    decision_ = Decision{refusal};
    taken_back_ = true;
    return &decision_->error();
}

void Exchange::refuse(Denial denial, std::int64_t back_at) noexcept {
    auto *refusal = take_back(denial);
    refusal->resets_at = back_at;
    log_refusal(*refusal);
}

void Exchange::refuse(const UsedUp &used_up) noexcept {
    if (used_up.limit == nullptr) {
        return refuse(Denial::metering_unavailable);
    }
    auto *refusal =
        take_back(passes_soon(used_up) ? Denial::rate_limit_exceeded
                                       : Denial::usage_limit_reached);
    refusal->used_up = used_up;
    refusal->resets_at = used_up.resets_at;
    log_refusal(*refusal);
}

void Exchange::begin_anew() noexcept {
    if (std::exchange(settled_, false)) {
        meter = nullptr;
    }
}

void Exchange::settle() noexcept {
    if (tunnel != nullptr) {
        tunnel->close();
    }
    if (recorder != nullptr) {
        recorder->end(NGX_ERROR);
    }
    if (!std::exchange(settled_, true)) {
        settle_meter();
    }
}

void Exchange::leave_list() noexcept {
    (newer_ == nullptr ? newest_ : newer_->older_) = older_;
    if (older_ != nullptr) {
        older_->newer_ = newer_;
    }
}

void Exchange::settle_all() noexcept {
    for (auto *exchange = newest_; exchange != nullptr;
         exchange = exchange->older_) {
        const auto *u = exchange->r_->upstream;
        bool waits = u != nullptr && u->peer.connection != nullptr &&
                     u->output.output_filter == send_upstream &&
                     !exchange->attempt.is_error();
        exchange->may_be_charged = exchange->may_be_charged || waits;
        exchange->settle();
    }
}

void Exchange::settle_meter() noexcept {
    if (meter == nullptr) {
        return;
    }
    bool is_http =
        decision_ && decision_->has_value() && !(*decision_)->websocket();
    // A later location may have refused what an earlier one set aside.
    if (is_http || !meter->http_turn.held.empty()) {
        auto outcome = outcome_of_http();
        auto &likely = meter->http_turn.likely_input;
        // Also where it was not known before the body was there.
        auto bytes = static_cast<std::size_t>(
            ngx_max(r_->headers_in.content_length_n, off_t{0}));
        likely = ngx_max(likely, bytes / Meter::kBytesOfToken);
        if (outcome.was_sent) {
            meter->sent(bytes);
        }
        meter->reader = meter->error_reader = nullptr;
        meter->settle(meter->http_turn, outcome);
    }
    meter->close();
    was_sent_ = false;
    attempt.was_sent = false;
    may_be_charged = false;
}

// A reply of an error is not charged for, unless there was an answer before it,
// or in it. What is neither known to be one nor seen to its end may have been.
Outcome Exchange::outcome_of_http() const noexcept {
    Outcome outcome{};
    outcome.was_sent = was_sent_ || attempt.was_sent;
    bool was_sent = outcome.was_sent && is_post_;
    if (meter->error_reader != nullptr &&
        meter->error_reader->usage().broke_off) {
        outcome.usage.texts = meter->likely_output();
        outcome.is_open = was_sent;
        return outcome;
    }
    if (meter->reader == nullptr) {
        outcome.is_open = was_sent && may_be_charged;
        return outcome;
    }
    outcome.usage = meter->reader->usage();
    const auto &usage = outcome.usage;
    // What was seen to its end and speaks of no model is none's answer, nor is
    // a count of what a turn would take.
    bool is_turn =
        !usage.is_no_turn &&
        (!usage.complete || usage.broke_off || !usage.model.view().empty() ||
         !meter->http_turn.model.view().empty());
    outcome.is_open = was_sent && is_turn && (!usage.error || usage.broke_off);
    return outcome;
}

void Exchange::start_try() noexcept {
    was_sent_ = was_sent_ || attempt.was_sent;
    attempt = {};
}

void Exchange::log_refusal(const Refusal &refusal) const noexcept {
    auto code = ngx::str(describe(refusal.denial).code);
    auto client = ngx::str(refusal.client.empty() ? "-" : refusal.client);
    auto fault = ngx::str(refusal.fault ? describe(*refusal.fault)
                                        : describe(refusal.denial).message);

    ngx_str_t limit = ngx_null_string;
    std::optional<LimitText> text;
    if (refusal.used_up) {
        text.emplace(*refusal.used_up);
        limit = ngx::str(text->view());
    }

    ngx_log_error(NGX_LOG_ERR, r_->connection->log, 0,
                  "keystile refused the request: %V (%V%V), client id \"%V\"",
                  &code, &fault, &limit, &client);
    count_refusal(r_, refusal.identity, refusal.denial);
}

std::string_view Exchange::request_id() noexcept {
    if (request_id_size_ == 0) {
        auto id = process_request_ids().next();
        std::copy(id.begin(), id.end(), request_id_.begin());
        request_id_size_ = id.size();
    }
    return {request_id_.data(), request_id_size_};
}

bool Exchange::reads_reply() const noexcept {
    const auto &permit = **decision_;
    const auto *client = permit.identity().client;
    bool judges_turns = client != nullptr && !client->models.empty();
    return meter != nullptr || recorder != nullptr ||
           (permit.websocket() && (judges_turns || credential != nullptr));
}

ErrorShape Exchange::error_shape(const LocConf &conf) const noexcept {
    switch (static_cast<ErrorFormat>(conf.error_format)) {
    case ErrorFormat::openai:
        return ErrorShape::openai;
    case ErrorFormat::anthropic:
        return ErrorShape::anthropic;
    case ErrorFormat::automatic:
        break;
    }
    return headers_.has_anthropic_version() ? ErrorShape::anthropic
                                            : ErrorShape::openai;
}

}  // namespace keystile
