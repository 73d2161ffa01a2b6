// The turns of a WebSocket: what is set aside and counted for each, and what
// the client is told of one that is refused.

#include "ngx_http_keystile_tunnel.hpp"

#include "core/error_body.hpp"
#include "core/limit_text.hpp"
#include "core/model_pattern.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_limits.hpp"
#include "ngx_http_keystile_record.hpp"

namespace keystile {
namespace {

// What stands around the error of an HTTP reply: wire format of the Responses
// interface.
constexpr std::string_view kErrorBegins = "{\"type\":\"error\",\"status\":";

// The header of an unmasked text frame of less than 64 KB (RFC 6455 5.2).
constexpr std::size_t kMostHeader = 4;

u_char *put_frame_header(u_char *p, std::size_t size) noexcept {
    constexpr u_char kLastText = 0x81;
    constexpr u_char kTwoBytes = 126;

    *p++ = kLastText;
    if (size >= kTwoBytes) {
        *p++ = kTwoBytes;
        *p++ = static_cast<u_char>(size >> 8);
    }
    *p++ = static_cast<u_char>(size & 0xFF);
    return p;
}

}  // namespace

Tunnel::Waiting *Tunnel::make_waiting() noexcept {
    auto *waiting = spare_;
    if (waiting == nullptr) {
        return ngx::make<Waiting>(r_->pool);
    }
    spare_ = waiting->next;
    auto room = waiting->turn.held.room();
    waiting = new (waiting) Waiting{};
    waiting->turn.held.set_room(room);
    return waiting;
}

// While so many others wait. False after a refusal.
bool Tunnel::begin_turn(const ModelName &model, std::size_t waiting) noexcept {
    bool is_kept =
        judges_ || meter_ != nullptr || exchange_.recorder != nullptr;
    if (is_kept && waiting >= kMostWaiting) {
        return refuse(Denial::rate_limit_exceeded);
    }
    if (meter_ == nullptr) {
        return true;
    }
    settle_doubtful(Outcome{.was_sent = true, .is_open = false, .usage = {}});
    pending_ = make_waiting();
    if (pending_ == nullptr) {
        return refuse(Denial::metering_unavailable);
    }
    pending_->turn.model = model;
    auto used_up = meter_->reserve(MeterZone::Scope::turn, pending_->turn,
                                   Meter::kUnknownInput);
    if (!used_up) {
        return true;
    }
    pending_->next = std::exchange(spare_, pending_);
    pending_ = nullptr;
    return refuse(*used_up);
}

void Tunnel::end_pending(const TurnRequest &request) noexcept {
    auto *waiting = std::exchange(pending_, nullptr);
    if (waiting == nullptr) {
        return;
    }
    waiting->turn.model = model_of(request);
    waiting->turn.prewarm = request.prewarm;
    waiting->turn.began = ngx_current_msec;
    waiting->next = nullptr;
    (first_ == nullptr ? first_ : last_->next) = waiting;
    last_ = waiting;
    waiting_++;
}

void Tunnel::end_turn(const Usage &usage) noexcept {
    if (usage.error_status == NGX_HTTP_TOO_MANY_REQUESTS) {
        note_refused_turn(r_, exchange_, CredentialFault::rate_limited);
    }
    if (usage.beside) {
        return charge_unasked(usage);
    }
    if (exchange_.recorder == nullptr) {
        return settle_turn(usage);
    }
    auto cost_before = cost();
    settle_turn(usage);
    exchange_.recorder->end_turn(usage, cost() - cost_before);
}

// Of all turns so far.
Picodollars Tunnel::cost() const noexcept {
    return meter_ == nullptr ? 0 : meter_->sum().totals[Figure::cost];
}

void Tunnel::settle_turn(const Usage &usage) noexcept {
    charge_lapsed();
    Outcome outcome{.was_sent = true, .is_open = !usage.error, .usage = usage};
    if (usage.late && doubtful_ != nullptr) {
        settle_doubtful(outcome);
        return judge_unasked(usage);
    }
    auto *waiting = usage.late ? nullptr : first_;
    if (waiting == nullptr) {
        charge_unasked(usage);
        return judge_unasked(usage);
    }
    first_ = waiting->next;
    waiting_--;
    doubted_ = waiting->turn.model;

    if (may_go_on(usage)) {
        settle_doubtful(
            Outcome{.was_sent = true, .is_open = false, .usage = {}});
        doubtful_ = waiting;
        return;
    }
    meter_->settle(waiting->turn, outcome);
    waiting->next = std::exchange(spare_, waiting);
}

// Whether an error may be for something else that the client has sent.
bool Tunnel::may_go_on(const Usage &usage) const noexcept {
    bool is_of_turn = usage.is_refusal() ||
                      usage.error_status == NGX_HTTP_TOO_MANY_REQUESTS ||
                      usage.error_status >= NGX_HTTP_INTERNAL_SERVER_ERROR;
    return says_else_ && usage.error && !is_of_turn && !usage.complete &&
           !usage.input && !usage.output;
}

// Of an answer that an error has ended, as what came since shows. It has cost
// what came, unless that is no more than how one begins, and the error.
void Tunnel::charge_lapsed() noexcept {
    auto lapsed = usage_.take_lapsed();
    if (!lapsed || lapsed->texts <= UsageScan::kBeginning + 1) {
        return;
    }
    Outcome outcome{.was_sent = false, .is_open = true, .usage = *lapsed};
    if (doubtful_ != nullptr) {
        doubtful_->turn.prewarm = false;  // an answer has begun
        outcome.was_sent = true;
        return settle_doubtful(outcome);
    }
    if (meter_ != nullptr) {
        Turn turn{};
        turn.began = ngx_current_msec;
        turn.likely_input = Meter::kUnknownInput;
        turn.model = named_.view().empty() ? doubted_ : named_;
        turn.unasked = true;
        meter_->settle(turn, outcome);
    }
}

// What was set aside for a turn stays so while its answer may yet come, or go
// on: until then, until the next turn of this socket, or its end.
void Tunnel::settle_doubtful(const Outcome &outcome) noexcept {
    auto *waiting = std::exchange(doubtful_, nullptr);
    if (waiting != nullptr) {
        meter_->settle(waiting->turn, outcome);
        waiting->next = std::exchange(spare_, waiting);
    }
}

// Of an answer that nobody asked for, or that only seems to be the rest of one;
// where the target names a model, that was judged at the handshake.
void Tunnel::judge_unasked(const Usage &usage) noexcept {
    bool judged = client_ == nullptr || !client_->needs_model() ||
                  !named_.view().empty();
    if (judged || !(usage.unasked || usage.late) || usage.error) {
        return;
    }
    auto model = usage.model.view();
    if (model.empty()) {
        refuse(Denial::unreadable_model);
    } else if (!(usage.late && are_one_model(model, doubted_.view())) &&
               !may_use(client_->models, model)) {
        refuse(Denial::model_not_allowed);
    } else {
        return;
    }
    cut("an answer that its client did not ask for is of a model that it must "
        "not use, or is not known to be of another");
}

// An error was taken for its answer, or the provider answers by itself.
void Tunnel::charge_unasked(const Usage &usage) noexcept {
    bool is_known = usage.input || usage.output;
    bool is_whole = usage.complete && !usage.error;
    if (meter_ == nullptr || !(is_known || is_whole)) {
        return;
    }
    const auto &known =
        usage.late && usage.model.view().empty() ? doubted_ : usage.model;
    Turn turn{};
    turn.began = ngx_current_msec;
    turn.likely_input = Meter::kUnknownInput;
    turn.model = named_.view().empty() ? known : named_;
    turn.unasked = true;
    meter_->settle(turn, Outcome{.was_sent = usage.unasked,
                                 .is_open = usage.late && !is_known,
                                 .usage = usage});
    if (first_ == nullptr && client_ != nullptr && !client_->limits.empty()) {
        end_if_used_up(usage.model.view().empty() ? named_ : usage.model);
    }
}

// A provider that speaks by itself cannot be refused a turn. What is only set
// aside, for this socket too, is no reason to.
void Tunnel::end_if_used_up(const ModelName &model) noexcept {
    auto used_up = meter_->find_used_up(model.view());
    if (used_up && used_up->is_spent) {
        refuse(*used_up);
        cut("its client has used up a limit, and the provider does not wait "
            "to be asked");
    }
}

// An answer that nobody has seen the end of, and no turn waits for: after an
// error, as a rule.
void Tunnel::charge_doubted(const Usage &usage) noexcept {
    Outcome outcome{.was_sent = usage_.doubted_is_unasked(),
                    .is_open = true,
                    .usage = usage};
    if (doubtful_ != nullptr && !usage_.doubted_is_unasked()) {
        doubtful_->turn.prewarm = false;  // an answer has begun
        outcome.was_sent = true;
        return settle_doubtful(outcome);
    }
    Turn turn{};
    turn.began = ngx_current_msec;
    turn.likely_input = Meter::kUnknownInput;
    turn.model = usage_.doubted_is_unasked() ? named_ : doubted_;
    turn.unasked = true;
    meter_->settle(turn, outcome);
}

bool Tunnel::refuse(Denial denial) noexcept {
    tell(denial, {}, 0);
    return false;
}

bool Tunnel::refuse(const UsedUp &used_up) noexcept {
    if (used_up.limit == nullptr) {
        return refuse(Denial::metering_unavailable);
    }
    LimitText text{used_up};
    if (passes_soon(used_up)) {
        tell(Denial::rate_limit_exceeded, text.view(), 0);
    } else {
        tell(Denial::usage_limit_reached, text.view(), used_up.resets_at);
    }
    return false;
}

void Tunnel::tell(Denial denial, std::string_view more,
                  std::int64_t resets_at) noexcept {
    auto reply = describe(denial);
    const auto &identity = (*exchange_.decision())->identity();
    auto code = ngx::str(reply.code);
    auto id = ngx::str(client_ == nullptr ? "-" : client_->id);
    auto limit = ngx::str(more);
    ngx_log_error(NGX_LOG_ERR, r_->connection->log, 0,
                  "keystile refused a turn on a WebSocket: %V%V, client id "
                  "\"%V\"",
                  &code, &limit, &id);
    count_refusal(r_, identity, denial);
    put_error(reply, more, resets_at);
}

// An error frame, before the provider's next message.
void Tunnel::put_error(const ErrorReply &reply, std::string_view more,
                       std::int64_t resets_at) noexcept {
    ErrorBody body{.shape = ErrorShape::openai,
                   .reply = reply,
                   .more = more,
                   .request_id = {},
                   .resets_at = resets_at};
    NumberText status{reply.status};
    auto size = kErrorBegins.size() + status.view().size() + body.size();
    if (errors_ == nullptr) {
        errors_ = static_cast<u_char *>(ngx_palloc(r_->pool, kErrors));
    }
    if (errors_ == nullptr || kMostHeader + size > kErrors - errors_size_) {
        cut("there is no room for what its client is to be told");
        return;
    }

    auto *p = put_frame_header(errors_ + errors_size_, size);
    p = ngx_cpymem(p, kErrorBegins.data(), kErrorBegins.size());
    p = ngx_cpymem(p, status.view().data(), status.view().size());
    auto *at = reinterpret_cast<char *>(p);
    auto *end = body.write(at);  // its opening brace becomes a comma
    *at = ',';
    errors_size_ =
        static_cast<std::size_t>(reinterpret_cast<u_char *>(end) - errors_);
    wake_provider();
}

}  // namespace keystile
