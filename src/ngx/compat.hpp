// What differs between the versions of nginx that we build against. Included
// by nginx.hpp; every #if on nginx_version in the project is in this file.

#pragma once

namespace ngx {

// 1.29.4 gave the parser an argument that says whether to keep trailers.
template <typename Parse>
ngx_int_t parse_chunked(Parse parse, ngx_http_request_t *r, ngx_buf_t *b,
                        ngx_http_chunked_t *chunked) noexcept {
    if constexpr (std::is_invocable_v<Parse, ngx_http_request_t *, ngx_buf_t *,
                                      ngx_http_chunked_t *>) {
        return parse(r, b, chunked);
    } else {
        return parse(r, b, chunked, 0);
    }
}

}  // namespace ngx
