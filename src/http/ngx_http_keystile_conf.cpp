#include "ngx_http_keystile_conf.hpp"

#include "ngx_http_keystile_credential_states.hpp"
#include "ngx_http_keystile_health.hpp"
#include "ngx_http_keystile_pass.hpp"
#include "ngx_http_keystile_record.hpp"
#include "ngx_http_keystile_status.hpp"
#include "ngx_http_keystile_tls.hpp"
#include "ngx_http_keystile_usage.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

// What does not come back, unless keystile_pass_header asks for it: cookies,
// the provider's account, and what belongs to its connection. X-Accel-* and
// Upgrade never do.
constinit ngx_str_t kHiddenHeaders[] = {
    "Set-Cookie"_ngx,
    "Set-Cookie2"_ngx,
    "OpenAI-Organization"_ngx,
    "OpenAI-Project"_ngx,
    "Anthropic-Organization-Id"_ngx,
    "Keep-Alive"_ngx,
    "Proxy-Authenticate"_ngx,
    "Proxy-Connection"_ngx,
    "TE"_ngx,
    "Trailer"_ngx,
    ngx_str_t{},
};

constexpr NextCredential kDefaultNextCredential{
    .conditions = NextCredential::on_401 | NextCredential::on_429,
    .cooldown = kDefaultCooldown,
    .tries = 0,
    .is_given = false,
};

constexpr off_t kTightBodyLimit = 16 * 1024 * 1024;

void merge_slots(ngx_http_upstream_conf_t &conf,
                 const ngx_http_upstream_conf_t &prev) noexcept {
    ngx_conf_merge_msec_value(conf.connect_timeout, prev.connect_timeout,
                              10000);
    ngx_conf_merge_msec_value(conf.send_timeout, prev.send_timeout, 60000);
    ngx_conf_merge_msec_value(conf.read_timeout, prev.read_timeout, 600000);
    ngx_conf_merge_msec_value(conf.next_upstream_timeout,
                              prev.next_upstream_timeout, 0);
    ngx_conf_merge_uint_value(conf.next_upstream_tries,
                              prev.next_upstream_tries, 0);
    ngx_conf_merge_size_value(conf.buffer_size, prev.buffer_size, 16384);
    ngx_conf_merge_value(conf.request_buffering, prev.request_buffering, 1);
    ngx_conf_merge_value(conf.socket_keepalive, prev.socket_keepalive, 1);
    ngx_conf_merge_ptr_value(conf.local, prev.local, nullptr);
    ngx_conf_merge_bitmask_value(
        conf.next_upstream, prev.next_upstream,
        (NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_ERROR |
         NGX_HTTP_UPSTREAM_FT_TIMEOUT));
    if (conf.next_upstream & NGX_HTTP_UPSTREAM_FT_OFF) {
        conf.next_upstream = NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_FT_OFF;
    }
}

void merge_tls(LocConf &conf, const LocConf &prev) noexcept {
    ngx_conf_merge_str_value(conf.ssl_name, prev.ssl_name, "");
    ngx_conf_merge_bitmask_value(
        conf.ssl_protocols, prev.ssl_protocols,
        (NGX_CONF_BITMASK_SET | NGX_SSL_TLSv1_2 | NGX_SSL_TLSv1_3));
    ngx_conf_merge_str_value(conf.ssl_ciphers, prev.ssl_ciphers, "DEFAULT");
    ngx_conf_merge_uint_value(conf.ssl_verify_depth, prev.ssl_verify_depth, 4);
    ngx_conf_merge_str_value(conf.ssl_trusted_certificate,
                             prev.ssl_trusted_certificate, "");
    ngx_conf_merge_str_value(conf.ssl_crl, prev.ssl_crl, "");
    ngx_conf_merge_value(conf.ssl_session_reuse, prev.ssl_session_reuse, 1);
    ngx_conf_merge_ptr_value(conf.ssl_certificate, prev.ssl_certificate,
                             nullptr);
    ngx_conf_merge_ptr_value(conf.ssl_certificate_key,
                             prev.ssl_certificate_key, nullptr);
    ngx_conf_merge_ptr_value(conf.ssl_conf_commands, prev.ssl_conf_commands,
                             nullptr);
}

void merge_policy(LocConf &conf, const LocConf &prev) noexcept {
    ngx_conf_merge_msec_value(conf.websocket_timeout, prev.websocket_timeout,
                              3600000);
    ngx_conf_merge_ptr_value(conf.rules, prev.rules, nullptr);
    ngx_conf_merge_ptr_value(conf.admit, prev.admit, nullptr);
    ngx_conf_merge_ptr_value(conf.key_headers, prev.key_headers, nullptr);
    ngx_conf_merge_ptr_value(conf.inject, prev.inject, nullptr);
    ngx_conf_merge_ptr_value(conf.next_credential, prev.next_credential,
                             &kDefaultNextCredential);
    ngx_conf_merge_ptr_value(conf.set_headers, prev.set_headers, nullptr);
    ngx_conf_merge_ptr_value(conf.meter, prev.meter, nullptr);
    ngx_conf_merge_ptr_value(conf.record, prev.record, nullptr);
    ngx_conf_merge_uint_value(conf.foreign_keys, prev.foreign_keys, 0);
    ngx_conf_merge_uint_value(conf.error_format, prev.error_format, 0);
}

ngx_http_handler_pt handler_of(Handler handler) noexcept {
    switch (handler) {
    case Handler::none:
        return nullptr;
    case Handler::pass:
        return handle_pass;
    case Handler::health:
        return handle_health;
    case Handler::usage:
        return handle_usage;
    case Handler::status:
        return handle_status;
    }
    return nullptr;
}

// Mistakes that only show once traffic comes.
void warn(ngx_conf_t *cf, const LocConf &conf) noexcept {
    auto *cscf = static_cast<ngx_http_core_srv_conf_t *>(
        ngx_http_conf_get_module_srv_conf(cf, ngx_http_core_module));
    auto *clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));

    if (!cscf->underscores_in_headers) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"underscores_in_headers\" is off: nginx drops the "
                      "\"session_id\" header of older Codex versions before "
                      "\"keystile_pass\" sees it, in %s:%ui",
                      conf.file_name, conf.line);
    }
    if (clcf->client_max_body_size != 0 &&
        clcf->client_max_body_size < kTightBodyLimit) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "\"client_max_body_size\" is below 16m: requests of "
                      "agents to \"keystile_pass\" can be larger, in %s:%ui",
                      conf.file_name, conf.line);
    }
}

char *merge_pass(ngx_conf_t *cf, LocConf &conf, const LocConf &prev) noexcept {
    ngx_hash_init_t hash{};
    hash.max_size = 512;
    hash.bucket_size = ngx_align(64, ngx_cacheline_size);
    hash.name = const_cast<char *>("keystile_headers_hash");
    auto *hidden = const_cast<ngx_http_upstream_conf_t *>(&prev.upstream);
    if (ngx_http_upstream_hide_headers_hash(cf, &conf.upstream, hidden,
                                            kHiddenHeaders, &hash) != NGX_OK) {
        return ngx::conf_error();
    }

    if (conf.destination == nullptr) {
        return NGX_CONF_OK;
    }
    if (find_upstream(cf, conf) != NGX_OK || make_route(cf, conf) != NGX_OK) {
        return ngx::conf_error();
    }
    if (conf.destination->tls && set_up_tls(cf, conf) != NGX_OK) {
        return ngx::conf_error();
    }

    forget_decrypted_requests(cf);

    conf.tunnel = conf.upstream;
    conf.tunnel.read_timeout = conf.websocket_timeout;
    conf.tunnel.send_timeout = conf.websocket_timeout;
    conf.tunnel.buffer_size = ngx_min(conf.upstream.buffer_size, ngx_pagesize);

    // A reply that refuses the credential says that the request was not
    // processed, so even a POST may be sent again; and so may what was not
    // sent, since a kept connection was another location's.
    conf.next_try = conf.upstream;
    conf.next_try.next_upstream |= NGX_HTTP_UPSTREAM_FT_HTTP_403 |
                                   NGX_HTTP_UPSTREAM_FT_ERROR |
                                   NGX_HTTP_UPSTREAM_FT_NON_IDEMPOTENT;
    conf.next_try.next_upstream &=
        ~static_cast<ngx_uint_t>(NGX_HTTP_UPSTREAM_FT_OFF);
    conf.next_try.next_upstream_timeout = 0;
    return NGX_CONF_OK;
}

}  // namespace

bool note_key_header(MainConf &conf, std::string_view name) noexcept {
    auto *slot =
        static_cast<std::string_view *>(ngx_array_push(&conf.key_headers));
    if (slot == nullptr) {
        return false;
    }
    *slot = name;
    return true;
}

void *create_main_conf(ngx_conf_t *cf) noexcept {
    auto *conf = ngx::make<MainConf>(cf->pool);
    if (conf == nullptr ||
        ngx_array_init(&conf->credentials, cf->pool, 4,
                       sizeof(Credential *)) != NGX_OK ||
        ngx_array_init(&conf->client_sets, cf->pool, 4, sizeof(ClientSet *)) !=
            NGX_OK ||
        ngx_array_init(&conf->zones, cf->pool, 4, sizeof(Zone *)) != NGX_OK ||
        ngx_array_init(&conf->record_files, cf->pool, 4,
                       sizeof(RecordFile *)) != NGX_OK ||
        ngx_array_init(&conf->tls, cf->pool, 4, sizeof(LocConf *)) != NGX_OK ||
        ngx_array_init(&conf->placeholders, cf->pool, 4,
                       sizeof(std::string_view)) != NGX_OK ||
        ngx_array_init(&conf->key_headers, cf->pool, 4,
                       sizeof(std::string_view)) != NGX_OK) {
        return nullptr;
    }
    for (auto name : kDefaultKeyHeaders) {
        if (!note_key_header(*conf, name)) {
            return nullptr;
        }
    }
    conf->harden = NGX_CONF_UNSET;
    return conf;
}

// A client that knows the real key has no need of us: one of the two files
// holds the wrong key.
char *init_main_conf(ngx_conf_t *cf, void *data) noexcept {
    auto &conf = *static_cast<MainConf *>(data);
    ngx_conf_init_value(conf.harden, 1);
    auto sha256 = Sha256::create();
    if (!sha256) {
        return ngx::conf_error();
    }

    for (auto *credential : ngx::elements<Credential *>(&conf.credentials)) {
        Sha256Digest digest;
        if (credential->secret == nullptr ||
            !sha256->digest(credential->secret->value(), digest)) {
            continue;
        }
        auto fingerprint = make_fingerprint(credential->name, digest);
        if (!fingerprint) {
            return ngx::conf_error();
        }
        credential->fingerprint = *fingerprint;
        for (auto *set : ngx::elements<ClientSet *>(&conf.client_sets)) {
            const auto *client = set->keys.find(digest);
            if (client != nullptr) {
                auto id = ngx::str(client->id);
                ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                              "credential \"%V\" is also the key of client "
                              "\"%V\" in %s:%ui",
                              &credential->name, &id, credential->file_name,
                              credential->file_line);
                return ngx::conf_error();
            }
        }
    }
    return add_credential_states(cf, conf) == NGX_OK ? NGX_CONF_OK
                                                     : ngx::conf_error();
}

void *create_loc_conf(ngx_conf_t *cf) noexcept {
    auto *conf = ngx::make<LocConf>(cf->pool);
    if (conf == nullptr) {
        return nullptr;
    }

    auto &u = conf->upstream;
    u.module = "keystile"_ngx;
    u.connect_timeout = NGX_CONF_UNSET_MSEC;
    u.send_timeout = NGX_CONF_UNSET_MSEC;
    u.read_timeout = NGX_CONF_UNSET_MSEC;
    u.next_upstream_timeout = NGX_CONF_UNSET_MSEC;
    u.next_upstream_tries = NGX_CONF_UNSET_UINT;
    u.buffer_size = NGX_CONF_UNSET_SIZE;
    u.request_buffering = NGX_CONF_UNSET;
    u.socket_keepalive = NGX_CONF_UNSET;
    u.local = ngx::unset_ptr<ngx_http_upstream_local_t>();
    u.hide_headers = ngx::unset_ptr<ngx_array_t>();
    u.pass_headers = ngx::unset_ptr<ngx_array_t>();

    // Not for the operator to choose: an answer is passed on as it arrives,
    // and X-Accel-* headers have no effect.
    u.ignore_headers =
        NGX_CONF_BITMASK_SET | NGX_HTTP_UPSTREAM_IGN_XA_REDIRECT |
        NGX_HTTP_UPSTREAM_IGN_XA_EXPIRES | NGX_HTTP_UPSTREAM_IGN_EXPIRES |
        NGX_HTTP_UPSTREAM_IGN_CACHE_CONTROL |
        NGX_HTTP_UPSTREAM_IGN_SET_COOKIE |
        NGX_HTTP_UPSTREAM_IGN_XA_LIMIT_RATE |
        NGX_HTTP_UPSTREAM_IGN_XA_BUFFERING | NGX_HTTP_UPSTREAM_IGN_XA_CHARSET |
        NGX_HTTP_UPSTREAM_IGN_VARY;
    u.pass_request_headers = 1;
    u.pass_request_body = 1;

    conf->websocket_timeout = NGX_CONF_UNSET_MSEC;
    conf->meter = ngx::unset_ptr<Zone>();
    conf->record = ngx::unset_ptr<RecordConf>();
    conf->rules = ngx::unset_ptr<ngx_array_t>();
    conf->admit = ngx::unset_ptr<ngx_array_t>();
    conf->key_headers = ngx::unset_ptr<ngx_array_t>();
    conf->inject = ngx::unset_ptr<ngx_array_t>();
    conf->next_credential = ngx::unset_ptr<const NextCredential>();
    conf->set_headers = ngx::unset_ptr<ngx_array_t>();
    conf->foreign_keys = NGX_CONF_UNSET_UINT;
    conf->error_format = NGX_CONF_UNSET_UINT;
    conf->ssl_verify_depth = NGX_CONF_UNSET_UINT;
    conf->ssl_session_reuse = NGX_CONF_UNSET;
    conf->ssl_certificate = ngx::unset_ptr<ngx_http_complex_value_t>();
    conf->ssl_certificate_key = ngx::unset_ptr<ngx_http_complex_value_t>();
    conf->ssl_conf_commands = ngx::unset_ptr<ngx_array_t>();
    return conf;
}

char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child) noexcept {
    auto &prev = *static_cast<LocConf *>(parent);
    auto &conf = *static_cast<LocConf *>(child);
    auto *clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));

    merge_slots(conf.upstream, prev.upstream);
    merge_tls(conf, prev);
    merge_policy(conf, prev);

    // As with proxy_pass, "if" and "limit_except" blocks, which have no name,
    // pass the request where the location around them does.
    bool inherited = false;
    if (clcf->noname && clcf->handler == nullptr &&
        prev.handler != Handler::none) {
        conf.handler = prev.handler;
        conf.shown = prev.shown;
        conf.status_format = prev.status_format;
        conf.destination = prev.destination;
        conf.directive = prev.directive;
        conf.file_name = prev.file_name;
        conf.line = prev.line;
        inherited = true;
    }
    if (clcf->lmt_excpt && clcf->handler == nullptr) {
        clcf->handler = handler_of(conf.handler);
    }
    if (conf.destination != nullptr && !inherited &&
        clcf->handler != handle_pass) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "another directive takes the requests of "
                      "\"keystile_pass\" in %s:%ui",
                      conf.file_name, conf.line);
        return ngx::conf_error();
    }
    if (conf.handler != Handler::none && !inherited &&
        clcf->handler != handler_of(conf.handler)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "another directive takes the requests of \"%V\"",
                           &conf.directive);
        return ngx::conf_error();
    }
    if (conf.handler == Handler::usage &&
        make_usage_route(cf, conf) != NGX_OK) {
        return ngx::conf_error();
    }
    if (merge_pass(cf, conf, prev) != NGX_CONF_OK) {
        return ngx::conf_error();
    }
    if (conf.destination != nullptr && !inherited) {
        warn(cf, conf);
    }
    return NGX_CONF_OK;
}

}  // namespace keystile
