// TLS connections: whether one may be used, and what it leaves in memory.

#include "ngx_http_keystile_tls.hpp"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

void wipe(ngx_buf_t *buf) noexcept {
    if (buf->start != nullptr) {
        OPENSSL_cleanse(buf->start,
                        static_cast<std::size_t>(buf->end - buf->start));
    }
}

void wipe_at_close(void *data) noexcept {
    wipe(static_cast<ngx_buf_t *>(data));
}

}  // namespace

// nginx's keepalive cache knows addresses only: a connection in it may have
// been made by a location that trusts another CA, or for another name. A TLS
// context is for one name and one set of settings (see same_settings() in
// tls.cpp), and nginx has verified whatever was made in it by those. Before the
// end of its handshake, a connection looks verified, too.
bool is_verified_here(ngx_http_request_t *r,
                      const ngx_connection_t *c) noexcept {
    if (c->ssl == nullptr || !c->ssl->handshaked) {
        return false;
    }
    auto *ssl = c->ssl->connection;
    return SSL_get_SSL_CTX(ssl) == loc_conf(r)->upstream.ssl->ctx &&
           SSL_get_verify_result(ssl) == X509_V_OK;
}

void forget_decrypted_requests(ngx_conf_t *cf) noexcept {
    auto *sscf = static_cast<ngx_http_ssl_srv_conf_t *>(
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_ssl_module));
    if (sscf->ssl.ctx != nullptr) {
        SSL_CTX_set_options(sscf->ssl.ctx, SSL_OP_CLEANSE_PLAINTEXT);
    }
}

// nginx gathers small buffers in c->ssl->buf before it encrypts them, and the
// credential with them. Once OpenSSL has taken it all, the copy is wiped.
void wipe_tls_buffer(ngx_connection_t *c) noexcept {
    auto *buf = c->ssl == nullptr ? nullptr : c->ssl->buf;
    if (buf != nullptr && buf->pos == buf->last) {
        wipe(buf);
    }
}

bool forget_tls_buffer_at_close(ngx_connection_t *c) noexcept {
    auto *buf = c->ssl == nullptr ? nullptr : c->ssl->buf;
    if (buf == nullptr) {
        return true;
    }
    for (auto *cln = c->pool->cleanup; cln != nullptr; cln = cln->next) {
        if (cln->handler == wipe_at_close) {
            return true;
        }
    }
    auto *cln = ngx_pool_cleanup_add(c->pool, 0);
    if (cln == nullptr) {
        return false;
    }
    cln->handler = wipe_at_close;
    cln->data = buf;
    return true;
}

}  // namespace keystile
