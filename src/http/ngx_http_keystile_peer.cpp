#include "ngx_http_keystile_peer.hpp"

#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_record.hpp"
#include "ngx_http_keystile_tls.hpp"

namespace keystile {
namespace {

ngx_int_t check_peer(ngx_http_request_t *r, ngx_connection_t *c) noexcept {
    auto &attempt = Exchange::find(r)->attempt;
    if (attempt.peer_checked || !loc_conf(r)->destination->tls) {
        return NGX_OK;
    }
    if (!is_verified_here(r, c)) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "a kept-alive connection of another location cannot be "
                      "used here; opening a new one");
        excuse_peer(r, *Exchange::find(r));
        return NGX_ERROR;
    }
    attempt.peer_checked = true;
    return NGX_OK;
}

// Makes a request of which nothing has gone out look as if it had never been
// started: even a POST may then be tried elsewhere, and even one whose body is
// still arriving, since nginx has put the parts of it that are there behind
// the head. nginx only rewinds what it believes to be sent; this follows
// ngx_http_upstream_reinit(), and ngx_http_upstream_init() in that the body is
// not read on before there is a connection that it can go to: nginx would send
// it without the head, or in clear before the handshake.
void rewind_request(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *u = r->upstream;
    off_t file_pos = 0;
    for (auto *cl = u->request_bufs; cl != nullptr; cl = cl->next) {
        cl->buf->pos = cl->buf->start;
        if (cl->buf->in_file) {
            cl->buf->file_pos = file_pos;
            file_pos = cl->buf->file_last;
        }
    }
    u->output.buf = nullptr;
    u->output.in = nullptr;
    u->output.busy = nullptr;
    u->request_sent = 0;
    exchange.upload.restart();
    exchange.attempt.was_sent = false;
    exchange.attempt.peer_checked = false;
    if (r->request_body_no_buffering) {
        r->read_event_handler = exchange.upload.waiting_reader;
        if (r->connection->read->timer_set) {
            ngx_del_timer(r->connection->read);
        }
    }
}

}  // namespace

ngx_int_t send_upstream(void *data, ngx_chain_t *in) noexcept {
    auto *r = static_cast<ngx_http_request_t *>(data);
    auto *u = r->upstream;
    auto *c = u->peer.connection;
    auto &exchange = *Exchange::find(r);
    bool first = !std::exchange(exchange.attempt.was_sent, true);
    if (first) {
        u->conf = &loc_conf(r)->upstream;
        note_sent(exchange);
        expect_failure(r, exchange);
    }

    ngx_int_t rc = check_peer(r, c);
    if (rc == NGX_OK) {
        if (exchange.recorder != nullptr) {
            exchange.recorder->upload(in);
        }
        rc = write_upload(r, exchange.upload, in);
        wipe_tls_buffer(c);
        if (!forget_tls_buffer_at_close(c)) {
            rc = NGX_ERROR;
        }
    }
    if (rc == NGX_ERROR && c->sent == 0 && first) {
        rewind_request(r, exchange);
    }
    return rc;
}

}  // namespace keystile
