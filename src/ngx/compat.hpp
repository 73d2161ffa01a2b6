// What differs between the versions and the builds of nginx that we are built
// for. Included by nginx.hpp; every #if on nginx_version in the project is in
// this file. TLS is in files of its own, which `config` leaves out of a build
// without it.

#pragma once

// Without TLS, the directives about it are known still, to no effect.
#ifndef NGX_SSL_TLSv1_2
#define NGX_SSL_TLSv1_2 0x0020
#define NGX_SSL_TLSv1_3 0x0040
#endif

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

// What comes yet of a body is not kept: of HTTP/2, where nginx would go on to.
inline void skip_body(ngx_http_request_t &r) noexcept {
#if (NGX_HTTP_V2)
    if (r.stream != nullptr) {
        r.stream->skip_data = 1;
    }
#else
    static_cast<void>(r);
#endif
}

// An upstream without TLS may lack the field for it.
template <typename Upstream>
void use_tls(Upstream &u, bool tls) noexcept {
    if constexpr (requires { u.ssl = 1; }) {
        u.ssl = tls;
    }
}

}  // namespace ngx
