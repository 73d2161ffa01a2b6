// TLS contexts for providers: always verified, always with the server's name.

#include "ngx_http_keystile_tls.hpp"

#include <openssl/x509.h>

#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

// Where systems keep their trust store as one file, after OpenSSL's own idea
// (which SSL_CERT_FILE overrides).
constexpr std::array<const char *, 3> kBundles{
    "/etc/ssl/certs/ca-certificates.crt",  // Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",    // Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",              // openSUSE
};

bool is_file(const char *path) noexcept {
    ngx_file_info_t info;
    return path != nullptr && ngx_file_info(path, &info) == 0 &&
           ngx_is_file(&info);
}

// The system's trust store; empty when there is none. Loaded at start, as
// root, so that workers need not read files in a handshake.
ngx_str_t system_bundle() noexcept {
    const char *path = getenv(X509_get_default_cert_file_env());
    if (!is_file(path)) {
        path = X509_get_default_cert_file();
    }
    for (const char *bundle : kBundles) {
        if (!is_file(path)) {
            path = bundle;
        }
    }
    return is_file(path) ? ngx::str(path) : ngx_str_t{};
}

// Connections and sessions of one context are taken for any location that
// shares it, so all that was verified must be the same: the name as well.
bool same_settings(const LocConf &a, const LocConf &b) noexcept {
    return ngx::view(a.upstream.ssl_name->value) ==
               ngx::view(b.upstream.ssl_name->value) &&
           a.ssl_protocols == b.ssl_protocols &&
           ngx::view(a.ssl_ciphers) == ngx::view(b.ssl_ciphers) &&
           a.ssl_verify_depth == b.ssl_verify_depth &&
           ngx::view(a.ssl_trusted_certificate) ==
               ngx::view(b.ssl_trusted_certificate) &&
           ngx::view(a.ssl_crl) == ngx::view(b.ssl_crl) &&
           a.ssl_conf_commands == b.ssl_conf_commands &&
           a.ssl_certificate == b.ssl_certificate &&
           a.ssl_certificate_key == b.ssl_certificate_key &&
           a.ssl_session_reuse == b.ssl_session_reuse;
}

// nginx keeps TLS sessions by address, and a session carries the verdict of
// the verification it began with. So each is marked with the context that it
// was made in, and is not resumed in another: the handshake is then a full
// one. Sessions that nginx has kept in a shared zone lose the mark.
constinit int context_mark = -1;
using NewSession = int (*)(SSL *, SSL_SESSION *);
using Info = void (*)(const SSL *, int, int);
constinit NewSession new_session = nullptr;  // nginx's own, called by ours
constinit Info info = nullptr;

int mark_session(SSL *ssl, SSL_SESSION *session) noexcept {
    SSL_SESSION_set_ex_data(session, context_mark, SSL_get_SSL_CTX(ssl));
    return new_session(ssl, session);
}

void drop_foreign_session(const SSL *ssl, int where, int ret) noexcept {
    if (where == SSL_CB_HANDSHAKE_START) {
        auto *session = SSL_get_session(ssl);
        if (session != nullptr &&
            SSL_SESSION_get_ex_data(session, context_mark) !=
                SSL_get_SSL_CTX(ssl)) {
            SSL_set_session(const_cast<SSL *>(ssl), nullptr);
        }
    }
    if (info != nullptr) {
        info(ssl, where, ret);
    }
}

ngx_int_t separate_sessions(const LocConf &conf) noexcept {
    auto *ctx = conf.upstream.ssl->ctx;
    if (context_mark == -1) {
        context_mark = SSL_SESSION_get_ex_new_index(0, nullptr, nullptr,
                                                    nullptr, nullptr);
    }
    if (context_mark == -1) {
        return NGX_ERROR;
    }
    info = SSL_CTX_get_info_callback(ctx);
    SSL_CTX_set_info_callback(ctx, drop_foreign_session);
    if (conf.ssl_session_reuse) {
        new_session = SSL_CTX_sess_get_new_cb(ctx);
        SSL_CTX_sess_set_new_cb(ctx, mark_session);
    }
    return NGX_OK;
}

ngx_ssl_t *create_context(ngx_conf_t *cf, const LocConf &conf) noexcept {
    auto *ssl = ngx::make<ngx_ssl_t>(cf->pool);
    if (ssl == nullptr) {
        return nullptr;
    }
    ssl->log = cf->log;
    if (ngx_ssl_create(ssl, conf.ssl_protocols, nullptr) != NGX_OK) {
        return nullptr;
    }
    auto *cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == nullptr) {
        ngx_ssl_cleanup_ctx(ssl);
        return nullptr;
    }
    cln->handler = ngx_ssl_cleanup_ctx;
    cln->data = ssl;
    // A reply may repeat the credential.
    SSL_CTX_set_options(ssl->ctx, SSL_OP_CLEANSE_PLAINTEXT);
    return ssl;
}

ngx_int_t trust(ngx_conf_t *cf, LocConf &conf) noexcept {
    auto bundle = conf.ssl_trusted_certificate;
    if (bundle.len == 0) {
        bundle = system_bundle();
    }
    if (bundle.len == 0) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "this system has no trust store to verify \"%V\" with: "
                      "install ca-certificates, or set "
                      "\"keystile_ssl_trusted_certificate\", in %s:%ui",
                      &conf.destination->url, conf.file_name, conf.line);
        return NGX_ERROR;
    }

    // ngx_ssl_* take the depth as int and the name as writable.
    auto depth = static_cast<ngx_int_t>(conf.ssl_verify_depth);
    if (ngx_ssl_trusted_certificate(cf, conf.upstream.ssl, &bundle, depth) !=
        NGX_OK) {
        return NGX_ERROR;
    }
    return ngx_ssl_crl(cf, conf.upstream.ssl, &conf.ssl_crl);
}

ngx_int_t present_certificate(ngx_conf_t *cf, LocConf &conf) noexcept {
    auto *certificate = conf.ssl_certificate;
    auto *key = conf.ssl_certificate_key;
    if (certificate == nullptr) {
        return NGX_OK;
    }
    if (certificate->lengths != nullptr ||
        (key != nullptr && key->lengths != nullptr)) {
        return fail_location(cf, conf,
                             "\"keystile_ssl_certificate\" and its key "
                             "cannot hold variables");
    }
    if (key == nullptr) {
        return fail_location(cf, conf,
                             "no \"keystile_ssl_certificate_key\" is "
                             "defined for certificate ",
                             certificate->value);
    }
    return ngx_ssl_certificate(cf, conf.upstream.ssl, &certificate->value,
                               &key->value, nullptr);
}

// What nginx's upstream module is to do, and always does: verify, and send
// the name.
ngx_int_t set_upstream(ngx_conf_t *cf, LocConf &conf) noexcept {
    auto &u = conf.upstream;
    auto *name = ngx::make<ngx_http_complex_value_t>(cf->pool);
    if (name == nullptr) {
        return NGX_ERROR;
    }
    name->value =
        conf.ssl_name.len != 0 ? conf.ssl_name : conf.destination->parsed.host;
    u.ssl_name = name;
    u.ssl_server_name = 1;
    u.ssl_verify = 1;
    u.ssl_session_reuse = conf.ssl_session_reuse;
    u.ssl_certificate = conf.ssl_certificate;
    u.ssl_certificate_key = conf.ssl_certificate_key;
    return NGX_OK;
}

}  // namespace

ngx_int_t set_up_tls(ngx_conf_t *cf, LocConf &conf) noexcept {
    if (set_upstream(cf, conf) != NGX_OK) {
        return NGX_ERROR;
    }
    auto &contexts = main_conf(cf)->tls;
    for (auto *other : ngx::elements<LocConf *>(&contexts)) {
        if (same_settings(*other, conf)) {
            conf.upstream.ssl = other->upstream.ssl;
            return NGX_OK;
        }
    }

    conf.upstream.ssl = create_context(cf, conf);
    if (conf.upstream.ssl == nullptr ||
        ngx_ssl_ciphers(cf, conf.upstream.ssl, &conf.ssl_ciphers, 0) !=
            NGX_OK ||
        present_certificate(cf, conf) != NGX_OK || trust(cf, conf) != NGX_OK ||
        ngx_ssl_client_session_cache(
            cf, conf.upstream.ssl,
            static_cast<ngx_uint_t>(conf.ssl_session_reuse)) != NGX_OK ||
        separate_sessions(conf) != NGX_OK ||
        ngx_ssl_conf_commands(cf, conf.upstream.ssl, conf.ssl_conf_commands) !=
            NGX_OK) {
        return NGX_ERROR;
    }

    auto **slot = static_cast<LocConf **>(ngx_array_push(&contexts));
    if (slot == nullptr) {
        return NGX_ERROR;
    }
    *slot = &conf;
    return NGX_OK;
}

}  // namespace keystile
