// Reading the body of a request.

#pragma once

#include "ngx/nginx.hpp"

#include <array>

namespace keystile {

// The bytes of a body that nginx has read, in memory or in a file, piece by
// piece until visit(piece) returns false. False when that failed.
template <typename Visit>
bool for_each_piece(ngx_http_request_t *r, Visit visit) noexcept {
    if (r->request_body == nullptr) {
        return true;
    }
    for (auto *cl = r->request_body->bufs; cl != nullptr; cl = cl->next) {
        auto *b = cl->buf;
        if (!b->in_file) {
            auto size = static_cast<std::size_t>(b->last - b->pos);
            if (!visit(ngx::view({size, b->pos}))) {
                return true;
            }
            continue;
        }
        std::array<u_char, 16384> piece;
        for (off_t at = b->file_pos; at < b->file_last;) {
            auto size = static_cast<std::size_t>(
                ngx_min(b->file_last - at, static_cast<off_t>(piece.size())));
            ssize_t n = ngx_read_file(b->file, piece.data(), size, at);
            if (n <= 0) {
                return false;
            }
            if (!visit(
                    ngx::view({static_cast<std::size_t>(n), piece.data()}))) {
                return true;
            }
            at += n;
        }
    }
    return true;
}

}  // namespace keystile
