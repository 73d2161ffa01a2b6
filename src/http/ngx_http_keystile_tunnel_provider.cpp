// What the provider says on a WebSocket: it passes, but for errors that refuse
// the credential or what it may do. As with HTTP, these are not for the client:
// providers show parts of a key that they do not accept, and repeat what
// clients write. Until a message is known to be none, it is held.

#include "ngx_http_keystile_tunnel.hpp"

#include "ngx_http_keystile_exchange.hpp"

namespace keystile {

ssize_t Tunnel::recv_provider(ngx_connection_t *c, u_char *buf,
                              std::size_t size) noexcept {
    auto *r = static_cast<ngx_http_request_t *>(c->data);
    auto &tunnel = *Exchange::find(r)->tunnel;
    for (;;) {
        if (auto n = tunnel.read_provider(c, buf, size)) {
            return *n;
        }
    }
}

// As recv; none where all that came is held, and there is more to be had.
std::optional<ssize_t> Tunnel::read_provider(ngx_connection_t *c, u_char *buf,
                                             std::size_t size) noexcept {
    const auto &frames = usage_.provider();
    if (errors_size_ != 0 && frames.is_between_messages()) {
        return give_errors(buf, size);
    }
    if (is_cut_) {
        return NGX_ERROR;
    }
    if (size <= kept_size_) {
        return NGX_AGAIN;  // until nginx has sent what is in its buffer
    }

    auto *fresh = buf + kept_size_;
    auto n = provider_recv_(c, fresh, size - kept_size_);
    if (n <= 0) {
        return n;
    }
    give_kept(buf);
    auto *end = follow_provider(buf, fresh, fresh + n, buf + size);
    if (frames.is_broken()) {
        cut("the provider sent WebSocket frames that cannot be read");
        return NGX_ERROR;
    }
    if (errors_size_ != 0 && frames.is_between_messages()) {
        c->read->ready = 1;  // there is more to have: they are next
    }
    if (end != buf) {
        return end - buf;
    }
    return c->read->ready ? std::nullopt : std::optional<ssize_t>{NGX_AGAIN};
}

// Reads what is between `fresh` and `end`; from `begin` on stands what was held.
// Returns the end of what may go to the client: at most `limit`, since an error
// of ours may take more room than the one that it replaces.
u_char *Tunnel::follow_provider(u_char *begin, u_char *fresh, u_char *end,
                                u_char *limit) noexcept {
    auto piece = ngx::view({static_cast<std::size_t>(end - fresh), fresh});
    if (meter_ != nullptr) {
        meter_->received(piece.size());
    }
    if (first_ != nullptr && first_->turn.first_token == 0 && !piece.empty()) {
        first_->turn.first_token = ngx_current_msec;
    }
    while (auto usage = usage_.from_provider(piece)) {
        bool hidden = hides_ && usage->is_refusal();
        if (hidden) {
            end = hide(*usage, begin, end - piece.size(), end, limit);
        }
        end_turn(*usage);
        if (hidden && is_cut_) {
            return begin;
        }
        piece = ngx::view({piece.size(), end - piece.size()});
    }
    return hides_ ? hold(begin, end) : end;
}

// Of an error, which ends at `at`.
u_char *Tunnel::hide(const Usage &error, u_char *begin, u_char *at,
                     u_char *end, u_char *limit) noexcept {
    bool is_403 = error.error_status == NGX_HTTP_FORBIDDEN;
    auto denial = Denial::upstream_forbidden;
    if (is_403 && !error.blames_credential) {
        ngx_log_error(NGX_LOG_WARN, r_->connection->log, 0,
                      "the provider refused a turn on a WebSocket: its error "
                      "has status 403");
    } else {
        denial = Denial::upstream_credential_rejected;
        ngx_log_error(NGX_LOG_ERR, r_->connection->log, 0,
                      "the provider does not accept credential \"%V\": it "
                      "says so on a WebSocket",
                      &exchange_.credential->name);
        note_refused_turn(
            r_, exchange_,
            is_403 ? CredentialFault::forbidden : CredentialFault::rejected);
    }

    auto size = usage_.provider().message_size();
    if (size > static_cast<std::size_t>(at - begin)) {
        errors_size_ = 0;  // the client is amid a message
        cut("a part of an error that is not for its client has passed");
        return end;
    }
    put_error(describe(denial), {}, 0);
    return replace(at - size, at, end, limit);
}

// Puts what the client is to be told in the place of a message, if there is
// room; otherwise it is next.
u_char *Tunnel::replace(u_char *from, u_char *to, u_char *end,
                        u_char *limit) noexcept {
    auto rest = static_cast<std::size_t>(end - to);
    auto room = static_cast<std::size_t>(limit - from) - rest;
    auto size = errors_size_ <= room ? errors_size_ : 0;
    ngx_memmove(from + size, to, rest);
    if (size != 0) {
        give_errors(from, size);
    }
    return from + size + rest;
}

// Holds the message that has not ended, if it may be an error that is not for
// the client. One that is longer than those are, or has begun to pass, passes.
u_char *Tunnel::hold(u_char *begin, u_char *end) noexcept {
    auto size = usage_.provider().message_size();
    if (!usage_.may_be_refusal() || size > kHeld ||
        size > static_cast<std::size_t>(end - begin)) {
        return end;
    }
    kept_ = make_room(r_->pool);
    if (kept_ == nullptr) {
        cut("there is no memory to hold what the provider says");
        return begin;
    }
    kept_size_ = size;
    ngx_memcpy(kept_, end - size, size);
    return end - size;
}

void Tunnel::give_kept(u_char *buf) noexcept {
    if (kept_ != nullptr) {
        ngx_memcpy(buf, kept_, std::exchange(kept_size_, 0));
        ngx_pfree(r_->pool, std::exchange(kept_, nullptr));
    }
}

// Makes nginx ask for the provider's next bytes.
void Tunnel::wake_provider() noexcept {
    auto *read = r_->upstream->peer.connection->read;
    read->ready = 1;
    ngx_post_event(read, &ngx_posted_events);
}

// As much as there is room for; the rest is next, since nothing of the
// provider's is read before.
ssize_t Tunnel::give_errors(u_char *buf, std::size_t size) noexcept {
    auto n = ngx_min(size, errors_size_);
    ngx_memcpy(buf, errors_, n);
    errors_size_ -= n;
    ngx_memmove(errors_, errors_ + n, errors_size_);
    return static_cast<ssize_t>(n);
}

}  // namespace keystile
