#include "ngx_http_keystile_peer.hpp"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_traces.hpp"

namespace keystile {
namespace {

// nginx's keepalive cache knows addresses only: a connection in it may have
// been made by a location that trusts another CA, or another name.
bool is_ours(ngx_http_request_t *r, ngx_connection_t *c) noexcept {
    const auto &conf = loc_conf(r)->upstream;
    auto *ssl = c->ssl->connection;

    if (SSL_get_SSL_CTX(ssl) != conf.ssl->ctx ||
        SSL_get_verify_result(ssl) != X509_V_OK) {
        return false;
    }
    auto name = conf.ssl_name->value;
    return ngx_ssl_check_host(c, &name) == NGX_OK;
}

ngx_int_t check_peer(ngx_http_request_t *r, ngx_connection_t *c) noexcept {
    auto &attempt = Exchange::find(r)->attempt;
    if (attempt.peer_checked || !r->upstream->ssl) {
        return NGX_OK;
    }
    if (c->ssl == nullptr || !is_ours(r, c)) {
        ngx_log_error(NGX_LOG_INFO, c->log, 0,
                      "a kept-alive connection of another location cannot be "
                      "used here; opening a new one");
        return NGX_ERROR;
    }
    attempt.peer_checked = true;
    return NGX_OK;
}

// nginx gathers small buffers in c->ssl->buf before it encrypts them, and the
// credential with them. Once OpenSSL has taken it all, the copy is wiped.
void wipe_tls_buffer(ngx_connection_t *c) noexcept {
    auto *buf = c->ssl == nullptr ? nullptr : c->ssl->buf;
    if (buf != nullptr && buf->start != nullptr && buf->pos == buf->last) {
        OPENSSL_cleanse(buf->start,
                        static_cast<std::size_t>(buf->end - buf->start));
    }
}

}  // namespace

ngx_int_t send_upstream(void *data, ngx_chain_t *in) noexcept {
    auto *r = static_cast<ngx_http_request_t *>(data);
    auto *u = r->upstream;
    auto *c = u->peer.connection;

    ngx_int_t rc = check_peer(r, c);
    if (rc == NGX_OK) {
        rc = ngx_chain_writer(&u->writer, in);
        wipe_tls_buffer(c);
        if (!forget_tls_buffer_at_close(c)) {
            rc = NGX_ERROR;
        }
    }
    if (rc == NGX_ERROR && c->sent == 0 && !r->request_body_no_buffering) {
        u->request_sent = 0;  // nothing was, so even a POST may be tried again
    }
    return rc;
}

}  // namespace keystile
