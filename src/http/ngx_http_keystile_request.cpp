#include "ngx_http_keystile_request.hpp"

#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_reply_body.hpp"
#include "ngx_http_keystile_request_head.hpp"
#include "ngx_http_keystile_response.hpp"

namespace keystile {
namespace {

constexpr std::string_view kCrlf = "\r\n";
constexpr std::string_view kAuthorization = "Authorization: ";

// A buffer over bytes that nobody may write to or free. nginx rewinds a
// request by start, so that is set too.
ngx_buf_t *view_buf(ngx_pool_t *pool, std::string_view bytes) noexcept {
    auto *b = static_cast<ngx_buf_t *>(ngx_calloc_buf(pool));
    if (b != nullptr) {
        auto s = ngx::str(bytes);
        b->start = b->pos = s.data;
        b->end = b->last = s.data + s.len;
        b->memory = 1;
    }
    return b;
}

// Appends to a chain whose end is `*ll`; false when out of memory.
bool append(ngx_pool_t *pool, ngx_chain_t **&ll, ngx_buf_t *b) noexcept {
    auto *cl = b == nullptr ? nullptr : ngx_alloc_chain_link(pool);
    if (cl == nullptr) {
        return false;
    }
    cl->buf = b;
    cl->next = nullptr;
    *ll = cl;
    ll = &cl->next;
    return true;
}

// The body's buffers belong to the request, and each try moves their
// positions: so they are copied, and what they hold is not.
bool append_body(ngx_pool_t *pool, ngx_chain_t **&ll,
                 ngx_chain_t *body) noexcept {
    for (; body != nullptr; body = body->next) {
        auto *b = static_cast<ngx_buf_t *>(ngx_alloc_buf(pool));
        if (b == nullptr) {
            return false;
        }
        ngx_memcpy(b, body->buf, sizeof(ngx_buf_t));
        if (!append(pool, ll, b)) {
            return false;
        }
    }
    return true;
}

// The caller's own Authorization, as it came.
bool append_own(ngx_http_request_t *r, ngx_chain_t **&ll) noexcept {
    const auto &value = r->headers_in.authorization->value;
    return append(r->pool, ll, view_buf(r->pool, kAuthorization)) &&
           append(r->pool, ll, view_buf(r->pool, ngx::view(value))) &&
           append(r->pool, ll, view_buf(r->pool, kCrlf));
}

// The line in locked memory, or the caller's, or none.
bool append_credential(ngx_http_request_t *r, Exchange &exchange,
                       ngx_chain_t **&ll) noexcept {
    if (exchange.lends_own) {
        return append_own(r, ll);
    }
    if (exchange.credential == nullptr) {
        return true;  // "keystile_inject off"
    }
    const auto &permit = **exchange.decision();
    auto line = exchange.credential->line(permit);
    exchange.loan.line = view_buf(r->pool, line);
    return append(r->pool, ll, exchange.loan.line);
}

}  // namespace

ngx_int_t create_request(ngx_http_request_t *r) noexcept {
    auto &exchange = *Exchange::find(r);
    const auto &permit = **exchange.decision();
    auto *empty_line = view_buf(r->pool, kCrlf);
    exchange.upload = {};
    exchange.upload.chunked =
        r->request_body_no_buffering && r->headers_in.chunked;
    exchange.upload.head_end = empty_line;
    exchange.upload.waiting_reader = r->read_event_handler;

    auto *u = r->upstream;
    auto *body = u->request_bufs;
    auto **ll = &u->request_bufs;
    bool made = append(r->pool, ll, make_request_head(r, exchange, permit)) &&
                append_credential(r, exchange, ll) &&
                append(r->pool, ll, empty_line);
    // A body that is still arriving is nginx's to send.
    if (made && !r->request_body_no_buffering) {
        made = append_body(r->pool, ll, body);
    }
    if (!made) {
        return NGX_ERROR;
    }

    for (auto *cl = u->request_bufs; cl != nullptr; cl = cl->next) {
        if (cl->next == nullptr) {
            cl->buf->flush = 1;
        }
    }
    return NGX_OK;
}

ngx_int_t reinit_request(ngx_http_request_t *r) noexcept {
    auto *u = r->upstream;
    auto &exchange = *Exchange::find(r);
    swap_credential(r, exchange);
    exchange.start_try();
    exchange.upload.restart();
    u->process_header = process_status_line;
    u->input_filter = copy_body;
    r->state = 0;
    return NGX_OK;
}

}  // namespace keystile
