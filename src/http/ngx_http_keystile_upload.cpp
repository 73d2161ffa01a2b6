#include "ngx_http_keystile_upload.hpp"

#include "ngx_http_keystile_exchange.hpp"

namespace keystile {
namespace {

constinit ngx_http_request_body_filter_pt next_filter = nullptr;

// "\r\n", up to 16 digits, "\r\n", and of the last one "\r\n" more.
constexpr std::size_t kLongestSizeLine = 24;

auto *const kTag = static_cast<void *>(&ngx_http_keystile_module);

// A buffer with room for a size line: one that is through, or a new one.
ngx_chain_t *size_line(ngx_http_request_t *r, Upload &upload) noexcept {
    ngx_chain_t *none = nullptr;
    ngx_chain_update_chains(r->pool, &upload.free, &upload.busy, &none, kTag);

    auto *cl = ngx_chain_get_free_buf(r->pool, &upload.free);
    if (cl == nullptr) {
        return nullptr;
    }
    if (cl->buf->start == nullptr) {
        cl->buf->start =
            static_cast<u_char *>(ngx_palloc(r->pool, kLongestSizeLine));
        if (cl->buf->start == nullptr) {
            return nullptr;
        }
        cl->buf->end = cl->buf->start + kLongestSizeLine;
        cl->buf->tag = kTag;
        cl->buf->temporary = 1;
    }
    cl->buf->pos = cl->buf->last = cl->buf->start;
    cl->next = nullptr;

    auto **ll = &upload.busy;
    while (*ll != nullptr) {
        ll = &(*ll)->next;
    }
    *ll = cl;
    return cl;
}

// Appends a size line, which also ends the chunk before it.
bool append_size(ngx_http_request_t *r, Upload &upload, ngx_chain_t **&ll,
                 off_t size) noexcept {
    auto *line = size_line(r, upload);
    auto *link = line == nullptr ? nullptr : ngx_alloc_chain_link(r->pool);
    if (link == nullptr) {
        return false;
    }
    const char *before = std::exchange(upload.started, true) ? "\r\n" : "";
    const char *after = size == 0 ? "\r\n" : "";
    line->buf->last =
        ngx_sprintf(line->buf->last, "%s%xO\r\n%s", before, size, after);
    link->buf = line->buf;
    link->next = nullptr;
    *ll = link;
    ll = &link->next;
    return true;
}

struct Piece {
    off_t size;
    bool last;
};

Piece measure(const ngx_chain_t *in) noexcept {
    Piece piece{};
    for (; in != nullptr; in = in->next) {
        piece.size += ngx_buf_size(in->buf);
        piece.last = piece.last || in->buf->last_buf;
    }
    return piece;
}

// `in` as one chunk, and the last chunk after it where it ends the body. The
// buffer that marks the end, which is empty, comes last.
ngx_int_t filter(ngx_http_request_t *r, ngx_chain_t *in) noexcept {
    auto *exchange =
        loc_conf(r)->handler == Handler::pass ? Exchange::find(r) : nullptr;
    if (exchange == nullptr || !exchange->upload.chunked) {
        return next_filter(r, in);
    }

    auto piece = measure(in);
    ngx_chain_t *out = nullptr;
    auto **ll = &out;
    if (piece.size != 0 && !append_size(r, exchange->upload, ll, piece.size)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_buf_t *end = nullptr;
    for (; in != nullptr; in = in->next) {
        if (in->buf->last_buf && ngx_buf_size(in->buf) == 0) {
            end = in->buf;
            continue;
        }
        auto *link = ngx_alloc_chain_link(r->pool);
        if (link == nullptr) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }
        link->buf = in->buf;
        link->next = nullptr;
        *ll = link;
        ll = &link->next;
    }
    if (piece.last && !append_size(r, exchange->upload, ll, 0)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_chain_t marker{.buf = end, .next = nullptr};
    if (end != nullptr) {
        *ll = &marker;
    }

    ngx_int_t rc = next_filter(r, out);  // which has links of its own
    while (out != nullptr && out != &marker) {
        auto *link = std::exchange(out, out->next);
        ngx_free_chain(r->pool, link);
    }
    return rc;
}

}  // namespace

ngx_int_t install_upload_filter(ngx_conf_t *) noexcept {
    next_filter = ngx_http_top_request_body_filter;
    ngx_http_top_request_body_filter = filter;
    return NGX_OK;
}

}  // namespace keystile
