// Opens and closes a WebSocket, and judges what its client says.

#include "ngx_http_keystile_tunnel.hpp"

#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_limits.hpp"
#include "ngx_http_keystile_record.hpp"

namespace keystile {

Tunnel::Tunnel(ngx_http_request_t *r, Exchange &exchange, const Client *client,
               Meter *meter) noexcept
    : r_{r},
      exchange_{exchange},
      client_{client},
      meter_{meter},
      hides_{exchange.credential != nullptr},
      judges_{client != nullptr &&
              (!client->models.empty() ||
               (meter != nullptr && !client->limits.empty()))},
      named_{named_model(**exchange.decision())} {
    if (judges_) {
        usage_.be_strict();
    }
}

ngx_int_t Tunnel::open(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *c = r->connection;
    auto *u = r->upstream;
    const auto &permit = **exchange.decision();
    auto *tunnel = ngx::make<Tunnel>(r->pool, r, exchange,
                                     permit.identity().client, exchange.meter);
    if (tunnel == nullptr) {
        return NGX_ERROR;
    }

    if (exchange.recorder != nullptr) {
        exchange.recorder->open_socket();
        tunnel->usage_.show(exchange.recorder);
    }

    // Bytes that the client sent with its handshake go through recv, too.
    auto *in = r->header_in;
    auto early = static_cast<std::size_t>(in->last - in->pos);
    if (early != 0) {
        tunnel->early_ = ngx::copy(r->pool, ngx::view({early, in->pos}));
        if (tunnel->early_.data == nullptr) {
            return NGX_ERROR;
        }
        in->pos = in->last;
        c->read->ready = 1;
    }
    auto &b = u->buffer;
    b.last = tunnel->follow_provider(b.pos, b.pos, b.last, b.end);
    if (b.pos == b.last) {
        b.pos = b.last = b.start;  // room for what is held to grow
    }
    if (tunnel->usage_.provider().is_broken()) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0,
                      "upstream sent WebSocket frames that cannot be read");
        return NGX_ERROR;
    }

    tunnel->client_recv_ = std::exchange(c->recv, recv_client);
    tunnel->provider_recv_ =
        std::exchange(u->peer.connection->recv, recv_provider);
    tunnel->is_open_ = true;
    exchange.tunnel = tunnel;
    return NGX_OK;
}

void Tunnel::close() noexcept {
    if (!std::exchange(is_open_, false)) {
        return;
    }
    r_->connection->recv = client_recv_;
    if (r_->upstream->peer.connection != nullptr) {
        r_->upstream->peer.connection->recv = provider_recv_;
    }
    if (meter_ == nullptr) {
        return;
    }
    if (pending_ != nullptr) {
        meter_->settle(pending_->turn, Outcome{});  // it never was whole
    }
    auto usage = usage_.unfinished();
    if (usage_.in_doubt()) {
        charge_doubted(std::exchange(usage, Usage{}));
    }
    settle_doubtful(Outcome{.was_sent = true, .is_open = false, .usage = {}});
    for (auto *waiting = first_; waiting != nullptr; waiting = waiting->next) {
        meter_->settle(
            waiting->turn,
            Outcome{.was_sent = true, .is_open = true, .usage = usage});
        usage = Usage{};
    }
}

ssize_t Tunnel::recv_client(ngx_connection_t *c, u_char *buf,
                            std::size_t size) noexcept {
    auto *r = static_cast<ngx_http_request_t *>(c->data);
    auto &tunnel = *Exchange::find(r)->tunnel;
    if (tunnel.is_cut_) {
        return NGX_AGAIN;  // the provider's side ends it
    }
    return tunnel.judges_ ? tunnel.judge_client(buf, size)
                          : tunnel.follow_client(buf, size);
}

// Nothing more goes up, and the provider's side looks like closed, so that
// nginx closes both; first, the client is told, if that can be done now.
ssize_t Tunnel::cut(const char *why) noexcept {
    is_cut_ = true;
    if (!usage_.provider().is_between_messages()) {
        errors_size_ = 0;
    }
    ngx_log_error(NGX_LOG_ERR, r_->connection->log, 0,
                  "keystile closes a WebSocket: %s", why);
    wake_provider();
    return NGX_AGAIN;
}

ssize_t Tunnel::read_client(u_char *buf, std::size_t size) noexcept {
    if (early_.len != 0) {
        auto n = ngx_min(size, early_.len);
        ngx_memcpy(buf, early_.data, n);
        early_.data += n;
        early_.len -= n;
        return static_cast<ssize_t>(n);
    }
    return client_recv_(r_->connection, buf, size);
}

// Where there are no rules, bytes are only looked at.
ssize_t Tunnel::follow_client(u_char *buf, std::size_t size) noexcept {
    auto n = read_client(buf, size);
    if (n <= 0) {
        return n;
    }
    auto piece = ngx::view({static_cast<std::size_t>(n), buf});
    if (meter_ != nullptr) {
        meter_->sent(piece.size());
    }
    while (auto request = usage_.from_client(piece)) {
        if (!begin_turn(model_of(*request), usage_.waiting() - 1)) {
            return cut("too many turns at one time");
        }
        end_pending(*request);
    }
    if (usage_.client().is_broken()) {
        return cut("the client sent WebSocket frames that cannot be read");
    }
    return n;
}

// Where there are, a message is held back until its type and model are known.
// What is held stands before the next bytes of the same message, so these are
// read behind a gap of its size.
ssize_t Tunnel::judge_client(u_char *buf, std::size_t size) noexcept {
    for (unsigned i = 0; i < kReadsAtOnce; i++) {
        if (size <= held_size_) {
            return NGX_AGAIN;  // until nginx has sent what is in its buffer
        }
        auto *in = buf + held_size_;
        auto n = read_client(in, size - held_size_);
        if (n <= 0) {
            return n;
        }
        if (meter_ != nullptr) {
            meter_->sent(static_cast<std::size_t>(n));
        }
        auto *out = buf;
        if (!judge_piece(ngx::view({static_cast<std::size_t>(n), in}), out)) {
            return is_cut_
                       ? NGX_AGAIN
                       : cut("the client sent what cannot be judged any more");
        }
        if (out != buf) {
            return out - buf;
        }
        if (!r_->connection->read->ready) {
            return NGX_AGAIN;
        }
    }
    // There is more of what does not go up; others have their turn first.
    ngx_post_event(r_->connection->read, &ngx_posted_next_events);
    return NGX_AGAIN;
}

// False when the connection is to be closed.
bool Tunnel::judge_piece(std::string_view piece, u_char *&out) noexcept {
    while (!piece.empty()) {
        auto bytes = piece.substr(0, step(piece.size()));
        auto rest = bytes;
        auto request = usage_.next_message(rest);
        bytes.remove_suffix(rest.size());
        piece.remove_prefix(bytes.size());
        if (usage_.client().is_broken()) {
            return false;
        }
        bool good = request ? end_message(*request, bytes, out)
                            : part_message(bytes, out);
        if (!good || is_cut_) {
            return false;
        }
    }
    return true;
}

// Most messages come whole: room to hold one is made when it is needed. Where
// there is none, the message is judged at its end.
bool Tunnel::has_room() noexcept {
    if (held_ == nullptr) {
        held_ = make_room(r_->pool);
    }
    return held_ != nullptr;
}

// More than the pool takes from its own blocks: only that is freed.
u_char *Tunnel::make_room(ngx_pool_t *pool) noexcept {
    return static_cast<u_char *>(
        ngx_palloc(pool, ngx_max(kHeld, pool->max + 1)));
}

// More of a message, not its end. A control frame goes up at once: it may
// stand before a message that is held, and in the place of one that is not to
// go up.
bool Tunnel::part_message(std::string_view bytes, u_char *&out) noexcept {
    bool stands =
        message_ == Message::undecided || message_ == Message::dropped;
    if (stands && usage_.client().is_in_control_frame()) {
        pass(bytes, out);
        return true;
    }
    const auto &request = usage_.asking();
    bool known =
        request.creates && (!client_->needs_model() ||
                            request.naming == TurnRequest::Naming::named);
    if (message_ == Message::undecided && known) {
        // It may yet name its model.
        message_ = judge(request, request.model) ? Message::passing
                                                 : Message::dropped;
    }

    switch (message_) {
    case Message::undecided:
        if (held_size_ + bytes.size() <= kHeld && has_room()) {
            ngx_memcpy(held_ + held_size_, bytes.data(), bytes.size());
            held_size_ += bytes.size();
            return true;
        }
        message_ = Message::unjudged;
        release(bytes, out);
        return true;
    case Message::passing:
    case Message::unjudged:
        release(bytes, out);
        return true;
    case Message::dropped:
        held_size_ = 0;
        return true;
    }
    return false;
}

// The last bytes of a message. Once some of it has gone up, it can only be
// stopped by closing the connection before its end.
bool Tunnel::end_message(const TurnRequest &request, std::string_view bytes,
                         u_char *&out) noexcept {
    auto was = std::exchange(message_, Message::undecided);
    bool is_turn =
        request.creates || request.naming == TurnRequest::Naming::unreadable;
    bool good = true;
    if (was == Message::passing) {
        good = client_->needs_model()
                   ? request.naming == TurnRequest::Naming::named
                   : request.naming != TurnRequest::Naming::unreadable;
    } else if (was != Message::dropped && is_turn) {
        good = judge(request, model_of(request));
    }

    if (was == Message::dropped || (!good && was == Message::undecided)) {
        usage_.ask_nothing();
        held_size_ = 0;
        return true;
    }
    if (!good) {
        return false;
    }
    release(bytes, out);
    if (is_turn) {
        usage_.ask(request);
        end_pending(request);
    } else {
        usage_.ask_nothing();
        says_else_ = true;
    }
    return true;
}

// Bytes to be read at one time: no more than those of a frame, one in its
// header, where those of a control frame must be told apart from those of a
// message.
std::size_t Tunnel::step(std::size_t most) const noexcept {
    bool stands =
        message_ == Message::undecided || message_ == Message::dropped;
    const auto &frames = usage_.client();
    if (!stands || !frames.may_interleave()) {
        return most;
    }
    auto left = ngx_max(frames.payload_left(), std::uint64_t{1});
    return static_cast<std::size_t>(ngx_min(left, most));
}

// What is held, and then these bytes, go up.
void Tunnel::release(std::string_view bytes, u_char *&out) noexcept {
    if (held_size_ != 0) {
        out = ngx_cpymem(out, held_, held_size_);
        held_size_ = 0;
        ngx_pfree(r_->pool, held_);  // a socket is idle most of the time
        held_ = nullptr;
    }
    pass(bytes, out);
}

// `out` is in the buffer of the bytes, and not behind them.
void Tunnel::pass(std::string_view bytes, u_char *&out) noexcept {
    ngx_memmove(out, bytes.data(), bytes.size());
    out += bytes.size();
}

// The target's, where the turn names none, and is of an interface whose target
// does.
const ModelName &Tunnel::model_of(const TurnRequest &request) const noexcept {
    bool by_target = request.naming == TurnRequest::Naming::missing &&
                     !request.names_by_itself;
    return by_target ? named_ : request.model;
}

// Whether a turn may go up; if not, the client has been told.
bool Tunnel::judge(const TurnRequest &request,
                   const ModelName &model) noexcept {
    bool is_readable =
        !request.binary && request.naming != TurnRequest::Naming::unreadable;
    bool is_named = request.naming == TurnRequest::Naming::named ||
                    (request.naming == TurnRequest::Naming::missing &&
                     !model.view().empty());
    if (!is_readable || (client_->needs_model() && !is_named)) {
        return refuse(Denial::unreadable_model);
    }
    if (!may_use(client_->models, model.view())) {
        return refuse(Denial::model_not_allowed);
    }
    return begin_turn(model, usage_.waiting());
}

}  // namespace keystile
