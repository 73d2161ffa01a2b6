#include "ngx_http_keystile_traces.hpp"

#include "core/ascii.hpp"
#include "core/key_header.hpp"

namespace keystile {
namespace {

void zero(u_char *from, u_char *to) noexcept {
    if (from != nullptr && from < to) {
        ngx_explicit_memzero(from, static_cast<std::size_t>(to - from));
    }
}

void zero_chain(const ngx_chain_t *cl, const ngx_buf_t *except) noexcept {
    for (; cl != nullptr; cl = cl->next) {
        if (cl->buf != except) {
            zero(cl->buf->start, cl->buf->end);
        }
    }
}

// HTTP/1.x reads heads into c->buffer, and on into larger ones, to the front
// of which it copies the line that did not fit.
void forget_buffers(ngx_http_request_t *r, u_char *head_end) noexcept {
    const auto *hc = r->http_connection;
    auto *c = r->connection;
    auto *last = r->header_in;

    if (last == nullptr) {
        return;
    }
    bool ends_here = head_end >= last->start && head_end <= last->pos;
    zero(last->start, ends_here ? head_end : last->pos);
    if (c->buffer != nullptr && c->buffer != last) {
        zero(c->buffer->start, c->buffer->end);
    }
    zero_chain(hc->busy, last);
    zero_chain(hc->free, last);
}

bool holds(const ngx_buf_t *b, const u_char *p) noexcept {
    return b != nullptr && p >= b->start && p < b->end;
}

bool holds(const ngx_chain_t *cl, const u_char *p) noexcept {
    for (; cl != nullptr; cl = cl->next) {
        if (holds(cl->buf, p)) {
            return true;
        }
    }
    return false;
}

bool holds(const ngx_pool_t *pool, const u_char *p) noexcept {
    for (const auto *large = pool->large; large != nullptr;
         large = large->next) {
        if (large->alloc == p) {
            return true;
        }
    }
    for (; pool != nullptr; pool = pool->d.next) {
        auto *start = reinterpret_cast<const u_char *>(pool);
        if (p >= start && p < pool->d.end) {
            return true;
        }
    }
    return false;
}

// Whether a header's value is where nginx put what it read. It may also be in
// a table of HTTP/2's, or a constant that some module made a header of. The
// buffers of a connection are HTTP/1.x's: a stream of HTTP/2 has none.
bool is_of_request(const ngx_http_request_t *r, const ngx_pool_t *pool,
                   const u_char *p) noexcept {
    if (holds(pool, p)) {
        return true;
    }
    const auto *hc = r->http_connection;
    return r->http_version < NGX_HTTP_VERSION_20 &&
           (holds(r->header_in, p) || holds(r->connection->buffer, p) ||
            holds(hc->busy, p) || holds(hc->free, p));
}

bool is_key_header(std::string_view name,
                   std::span<const std::string_view> names) noexcept {
    for (auto one : names) {
        if (same_header_name(one, name)) {
            return true;
        }
    }
    return is_credential_header(name);
}

}  // namespace

void forget_request_head(ngx_http_request_t *r, const ngx_pool_t *pool,
                         u_char *head_end,
                         std::span<const std::string_view> key_headers,
                         const HeaderNames &special) noexcept {
    ngx::for_each_header(r->headers_in.headers, [&](ngx_table_elt_t &h) {
        auto name = ngx::view(h.key);
        if (special.may_hold(name) && is_key_header(name, key_headers) &&
            is_of_request(r, pool, h.value.data)) {
            zero(h.value.data, h.value.data + h.value.len);
        }
        return true;
    });
    if (r->http_version < NGX_HTTP_VERSION_20) {
        forget_buffers(r, head_end);
    }
}

void forget_reply(ngx_http_upstream_t *u) noexcept {
    ngx::for_each_header(u->headers_in.headers, [](ngx_table_elt_t &h) {
        zero(h.key.data, h.key.data + h.key.len);
        zero(h.lowcase_key, h.lowcase_key + h.key.len);
        zero(h.value.data, h.value.data + h.value.len);
        return true;
    });
    auto &line = u->headers_in.status_line;
    zero(line.data, line.data + line.len);
    zero(u->buffer.start, u->buffer.end);
}

}  // namespace keystile
