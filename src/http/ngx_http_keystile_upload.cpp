#include "ngx_http_keystile_upload.hpp"

namespace keystile {
namespace {

// "\r\n", up to 16 digits, "\r\n", and of the last one "\r\n" more.
constexpr std::size_t kLongestSizeLine = 24;

// Marks our buffers among those of a chain.
constinit char tag_object = 0;
auto *const kTag = static_cast<void *>(&tag_object);

// A chain under construction.
struct Chain {
    ngx_pool_t *pool;
    ngx_chain_t *first = nullptr;
    ngx_chain_t **end = &first;

    bool append(ngx_buf_t *b) noexcept {
        auto *link = ngx_alloc_chain_link(pool);
        if (link == nullptr) {
            return false;
        }
        link->buf = b;
        link->next = nullptr;
        *end = link;
        end = &link->next;
        return true;
    }
};

// A buffer with room for a size line: one that is through, or a new one.
ngx_buf_t *size_line_buf(ngx_http_request_t *r, Upload &upload) noexcept {
    auto *cl = ngx_chain_get_free_buf(r->pool, &upload.free);
    if (cl == nullptr) {
        return nullptr;
    }
    auto *b = cl->buf;
    ngx_free_chain(r->pool, cl);
    if (b->start == nullptr) {
        b->start =
            static_cast<u_char *>(ngx_palloc(r->pool, kLongestSizeLine));
        if (b->start == nullptr) {
            return nullptr;
        }
        b->end = b->start + kLongestSizeLine;
        b->tag = kTag;
        b->temporary = 1;
    }
    b->pos = b->last = b->start;
    return b;
}

// Appends a size line, which also ends the chunk before it.
bool append_size(ngx_http_request_t *r, Upload &upload, Chain &out,
                 off_t size) noexcept {
    auto *b = size_line_buf(r, upload);
    if (b == nullptr) {
        return false;
    }
    const char *before = std::exchange(upload.started, true) ? "\r\n" : "";
    const char *after = size == 0 ? "\r\n" : "";
    b->last = ngx_sprintf(b->last, "%s%xO\r\n%s", before, size, after);
    return out.append(b);
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

// The head goes as it is; returns where the body begins.
bool pass_head(Upload &upload, ngx_chain_t *&in, Chain &out) noexcept {
    while (in != nullptr && !upload.head_passed) {
        upload.head_passed = in->buf == upload.head_end;
        if (!out.append(in->buf)) {
            return false;
        }
        in = in->next;
    }
    return true;
}

// `in` as one chunk, and the last chunk after it where it ends the body.
bool frame(ngx_http_request_t *r, Upload &upload, const ngx_chain_t *in,
           Chain &out) noexcept {
    auto piece = measure(in);
    if (piece.size != 0 && !append_size(r, upload, out, piece.size)) {
        return false;
    }
    for (; in != nullptr; in = in->next) {
        if (ngx_buf_size(in->buf) != 0 && !out.append(in->buf)) {
            return false;
        }
    }
    return !piece.last || append_size(r, upload, out, 0);
}

}  // namespace

void Upload::restart() noexcept {
    head_passed = false;
    started = false;
    free = nullptr;
    busy = nullptr;
}

ngx_int_t write_upload(ngx_http_request_t *r, Upload &upload,
                       ngx_chain_t *in) noexcept {
    auto *u = r->upstream;
    if (in == nullptr || !upload.chunked) {
        return ngx_chain_writer(&u->writer, in);
    }

    Chain out{.pool = r->pool};
    if (!pass_head(upload, in, out) || !frame(r, upload, in, out)) {
        return NGX_ERROR;
    }
    ngx_int_t rc = ngx_chain_writer(&u->writer, out.first);
    ngx_chain_update_chains(r->pool, &upload.free, &upload.busy, &out.first,
                            kTag);
    return rc;
}

}  // namespace keystile
