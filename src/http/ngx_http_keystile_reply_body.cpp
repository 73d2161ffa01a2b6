#include "ngx_http_keystile_reply_body.hpp"

#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_meter.hpp"
#include "ngx_http_keystile_record.hpp"
#include "ngx_http_keystile_traces.hpp"

namespace keystile {
namespace {

// Of what goes to the client now.
ngx_chain_t **end_of_out(ngx_http_upstream_t *u) noexcept {
    auto **ll = &u->out_bufs;
    while (*ll != nullptr) {
        ll = &(*ll)->next;
    }
    return ll;
}

void meter_reply(Meter &meter, std::string_view piece) noexcept {
    meter.received(piece.size());
    if (meter.error_reader != nullptr) {
        meter.error_reader->read(piece);
    }
    if (meter.reader != nullptr && !piece.empty()) {
        if (meter.http_turn.first_token == 0) {
            meter.http_turn.first_token = ngx_current_msec;
        }
        meter.reader->read(piece);
    }
}

// Adds bytes of the reply's buffer to it, at its end, which moves on.
ngx_int_t hand_on(ngx_http_request_t *r, Exchange &exchange,
                  ngx_chain_t **&end, u_char *pos, u_char *last) noexcept {
    auto *u = r->upstream;
    auto size = static_cast<std::size_t>(last - pos);
    auto *cl = ngx_chain_get_free_buf(r->pool, &u->free_bufs);
    if (cl == nullptr) {
        return NGX_ERROR;
    }
    cl->next = nullptr;
    cl->buf->flush = 1;
    cl->buf->memory = 1;
    cl->buf->pos = pos;
    cl->buf->last = last;
    cl->buf->tag = u->output.tag;
    *end = cl;
    end = &cl->next;
    if (exchange.meter != nullptr) {
        meter_reply(*exchange.meter, ngx::view({size, pos}));
    }
    if (exchange.recorder != nullptr) {
        exchange.recorder->reply(ngx::view({size, pos}));
    }
    return NGX_OK;
}

void use_buffer(ngx_buf_t &buf, u_char *start, std::size_t size) noexcept {
    buf.start = buf.pos = buf.last = start;
    buf.end = start + size;
}

std::size_t size_of(const ngx_buf_t &buf) noexcept {
    return static_cast<std::size_t>(buf.end - buf.start);
}

// Before a piece of a body is looked at, which is behind buf->last: most streams
// wait for a next small event, most of the time. The buffer starts anew where
// the client has all that was in it.
void shrink_while_streaming(ngx_http_request_t *r, Exchange &exchange,
                            std::size_t piece) noexcept {
    auto *u = r->upstream;
    if (size_of(u->buffer) <= ngx_pagesize) {
        return;
    }
    bool was_small =
        std::exchange(exchange.attempt.is_small, piece < ngx_pagesize);
    bool starts_anew = u->buffer.last == u->buffer.start &&
                       u->busy_bufs == nullptr && u->out_bufs == nullptr;
    if (was_small && starts_anew) {
        shrink_buffer(r, exchange, piece);
    }
}

// After a piece that has filled the page: a large event is read faster into the
// large buffer. The page stays as it is, since the client may not have it all.
void grow_while_streaming(ngx_http_request_t *r, Exchange &exchange,
                          std::size_t piece) noexcept {
    auto *u = r->upstream;
    auto *&page = exchange.attempt.page;
    if (u->buffer.start != page || piece != size_of(u->buffer)) {
        return;
    }
    auto *large =
        static_cast<u_char *>(ngx_palloc(r->pool, u->conf->buffer_size));
    if (large != nullptr) {
        use_buffer(u->buffer, large, u->conf->buffer_size);
        exchange.attempt.is_small = false;
    }
}

// Of what is behind buf->pos.
ngx_int_t take_chunks(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *u = r->upstream;
    auto &chunked = exchange.attempt.chunked;
    auto *buf = &u->buffer;
    auto **end = end_of_out(u);

    for (;;) {
        ngx_int_t rc =
            ngx::parse_chunked(ngx_http_parse_chunked, r, buf, &chunked);
        if (rc == NGX_OK) {
            auto here = ngx_min(chunked.size,
                                static_cast<off_t>(buf->last - buf->pos));
            if (hand_on(r, exchange, end, buf->pos, buf->pos + here) !=
                NGX_OK) {
                return NGX_ERROR;
            }
            buf->pos += here;
            chunked.size -= here;
            continue;
        }
        if (rc == NGX_DONE) {
            u->keepalive =
                !u->headers_in.connection_close && buf->pos == buf->last;
            u->length = 0;
            return NGX_OK;
        }
        if (rc == NGX_AGAIN) {
            return NGX_OK;
        }
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "upstream sent invalid chunked response");
        return NGX_ERROR;
    }
}

ngx_int_t copy_chunked_body(void *data, ssize_t bytes) noexcept {
    auto *r = static_cast<ngx_http_request_t *>(data);
    auto *u = r->upstream;
    auto *buf = &u->buffer;
    auto &exchange = *Exchange::find(r);
    auto piece = static_cast<std::size_t>(bytes);

    if (u->length == 0) {  // the client is yet to have what came before
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "upstream sent data after its last chunk");
        u->headers_in.connection_close = 1;
        u->keepalive = 0;
        buf->last += bytes;
        return NGX_OK;
    }
    shrink_while_streaming(r, exchange, piece);
    buf->pos = buf->last;
    buf->last += bytes;
    ngx_int_t rc = take_chunks(r, exchange);
    grow_while_streaming(r, exchange, piece);
    return rc;
}

}  // namespace

void shrink_buffer(ngx_http_request_t *r, Exchange &exchange,
                   std::size_t size) noexcept {
    auto &buf = r->upstream->buffer;
    auto *&page = exchange.attempt.page;
    if (size_of(buf) <= ngx_pagesize || size > ngx_pagesize) {
        return;
    }
    if (page == nullptr) {
        page = static_cast<u_char *>(ngx_palloc(r->pool, ngx_pagesize));
    }
    if (page == nullptr) {
        return;  // it goes on with the one it has
    }
    ngx_memcpy(page, buf.last, size);
    ngx_pfree(r->pool, buf.start);
    use_buffer(buf, page, ngx_pagesize);
}

bool has_no_body(ngx_http_request_t *r) noexcept {
    auto status = r->upstream->headers_in.status_n;
    return status == NGX_HTTP_NO_CONTENT || status == NGX_HTTP_NOT_MODIFIED ||
           r->method == NGX_HTTP_HEAD;
}

ngx_int_t init_body(void *data) noexcept {
    auto *r = static_cast<ngx_http_request_t *>(data);
    auto *u = r->upstream;
    auto &exchange = *Exchange::find(r);

    if (has_no_body(r)) {
        u->length = 0;
    } else if (u->headers_in.chunked) {
        u->input_filter = copy_chunked_body;
        u->length = 1;  // until the last chunk
    } else {
        u->length = u->headers_in.content_length_n;  // -1: until the end
    }
    if (u->length == 0) {
        u->keepalive =
            !u->headers_in.connection_close && u->buffer.pos == u->buffer.last;
    } else if (u->buffer.pos == u->buffer.last) {
        shrink_buffer(r, exchange, 0);
    }
    return NGX_OK;
}

ngx_int_t copy_body(void *data, ssize_t bytes) noexcept {
    auto *r = static_cast<ngx_http_request_t *>(data);
    auto *u = r->upstream;
    auto &exchange = *Exchange::find(r);
    auto piece = static_cast<std::size_t>(bytes);

    shrink_while_streaming(r, exchange, piece);
    auto *pos = u->buffer.last;
    auto length = bytes;
    u->buffer.last += bytes;

    if (u->length >= 0 && bytes > u->length) {
        ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                      "upstream sent more data than specified in "
                      "\"Content-Length\" header");
        u->headers_in.connection_close = 1;
        u->keepalive = 0;
        length = static_cast<ssize_t>(u->length);
        if (length == 0) {
            return NGX_OK;
        }
    }
    auto **end = end_of_out(u);
    if (hand_on(r, exchange, end, pos, pos + length) != NGX_OK) {
        return NGX_ERROR;
    }
    if (u->length >= 0) {
        u->length -= length;
        if (u->length == 0) {
            u->keepalive = !u->headers_in.connection_close;
        }
    }
    grow_while_streaming(r, exchange, piece);
    return NGX_OK;
}

}  // namespace keystile
