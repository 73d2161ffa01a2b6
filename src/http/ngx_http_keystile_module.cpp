// The tables: directives, and what nginx calls when. README.md describes each
// directive; a test keeps the two lists the same.

#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_directives.hpp"
#include "ngx_http_keystile_errors.hpp"
#include "ngx_http_keystile_process.hpp"
#include "ngx_http_keystile_upload.hpp"
#include "ngx_http_keystile_variables.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

constexpr ngx_uint_t kAnyLevel =
    NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF;

// "non_idempotent" is not among them: a POST that may have been processed is
// never sent again.
constinit ngx_conf_bitmask_t next_upstream_conditions[] = {
    {"error"_ngx, NGX_HTTP_UPSTREAM_FT_ERROR},
    {"timeout"_ngx, NGX_HTTP_UPSTREAM_FT_TIMEOUT},
    {"invalid_header"_ngx, NGX_HTTP_UPSTREAM_FT_INVALID_HEADER},
    {"http_500"_ngx, NGX_HTTP_UPSTREAM_FT_HTTP_500},
    {"http_502"_ngx, NGX_HTTP_UPSTREAM_FT_HTTP_502},
    {"http_503"_ngx, NGX_HTTP_UPSTREAM_FT_HTTP_503},
    {"http_504"_ngx, NGX_HTTP_UPSTREAM_FT_HTTP_504},
    {"http_429"_ngx, NGX_HTTP_UPSTREAM_FT_HTTP_429},
    {"off"_ngx, NGX_HTTP_UPSTREAM_FT_OFF},
    {ngx_str_t{}, 0},
};

constinit ngx_conf_post_t enough_buffer = {check_buffer_size};
constinit ngx_conf_post_t no_variables = {refuse_variables};

constinit ngx_conf_enum_t foreign_keys[] = {
    {"strip"_ngx, 0},
    {"reject"_ngx, 1},
    {ngx_str_t{}, 0},
};

constinit ngx_conf_enum_t error_formats[] = {
    {"auto"_ngx, static_cast<ngx_uint_t>(ErrorFormat::automatic)},
    {"openai"_ngx, static_cast<ngx_uint_t>(ErrorFormat::openai)},
    {"anthropic"_ngx, static_cast<ngx_uint_t>(ErrorFormat::anthropic)},
    {ngx_str_t{}, 0},
};

constinit ngx_conf_bitmask_t ssl_protocols[] = {
    {"TLSv1.2"_ngx, NGX_SSL_TLSv1_2},
    {"TLSv1.3"_ngx, NGX_SSL_TLSv1_3},
    {ngx_str_t{}, 0},
};

constinit ngx_command_t commands[] = {
    {.name = "keystile_credential"_ngx,
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_2MORE,
     .set = set_credential,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET,
     .offset = 0,
     .post = nullptr},
    {.name = "keystile_client_keys"_ngx,
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_TAKE2,
     .set = set_client_keys,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET,
     .offset = 0,
     .post = nullptr},
    {.name = "keystile_harden"_ngx,
     .type = NGX_HTTP_MAIN_CONF | NGX_CONF_FLAG,
     .set = ngx_conf_set_flag_slot,
     .conf = NGX_HTTP_MAIN_CONF_OFFSET,
     .offset = offsetof(MainConf, harden),
     .post = nullptr},
    {.name = "keystile_pass"_ngx,
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_TAKE12,
     .set = set_pass,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = 0,
     .post = nullptr},
    {.name = "keystile_health"_ngx,
     .type = NGX_HTTP_LOC_CONF | NGX_CONF_NOARGS,
     .set = set_health,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = 0,
     .post = nullptr},
    {.name = "keystile_allow"_ngx,
     .type = kAnyLevel | NGX_CONF_2MORE,
     .set = set_allow,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = 0,
     .post = nullptr},
    {.name = "keystile_admit"_ngx,
     .type = kAnyLevel | NGX_CONF_1MORE,
     .set = set_words,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, admit),
     .post = nullptr},
    {.name = "keystile_key_headers"_ngx,
     .type = kAnyLevel | NGX_CONF_1MORE,
     .set = set_key_headers,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, key_headers),
     .post = nullptr},
    {.name = "keystile_inject"_ngx,
     .type = kAnyLevel | NGX_CONF_1MORE,
     .set = set_words,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, inject),
     .post = nullptr},
    {.name = "keystile_foreign_keys"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_enum_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, foreign_keys),
     .post = foreign_keys},
    {.name = "keystile_error_format"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_enum_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, error_format),
     .post = error_formats},
    {.name = "keystile_set_header"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE2,
     .set = set_set_header,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = 0,
     .post = nullptr},
    {.name = "keystile_hide_header"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_str_array_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.hide_headers),
     .post = nullptr},
    {.name = "keystile_pass_header"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_str_array_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.pass_headers),
     .post = nullptr},
    {.name = "keystile_connect_timeout"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_msec_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.connect_timeout),
     .post = nullptr},
    {.name = "keystile_send_timeout"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_msec_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.send_timeout),
     .post = nullptr},
    {.name = "keystile_read_timeout"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_msec_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.read_timeout),
     .post = nullptr},
    {.name = "keystile_websocket_timeout"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_msec_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, websocket_timeout),
     .post = nullptr},
    {.name = "keystile_buffer_size"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_size_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.buffer_size),
     .post = &enough_buffer},
    {.name = "keystile_request_buffering"_ngx,
     .type = kAnyLevel | NGX_CONF_FLAG,
     .set = ngx_conf_set_flag_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.request_buffering),
     .post = nullptr},
    {.name = "keystile_next_upstream"_ngx,
     .type = kAnyLevel | NGX_CONF_1MORE,
     .set = ngx_conf_set_bitmask_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.next_upstream),
     .post = next_upstream_conditions},
    {.name = "keystile_next_upstream_tries"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_num_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.next_upstream_tries),
     .post = nullptr},
    {.name = "keystile_next_upstream_timeout"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_msec_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.next_upstream_timeout),
     .post = nullptr},
    {.name = "keystile_bind"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE12,
     .set = ngx_http_upstream_bind_set_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.local),
     .post = nullptr},
    {.name = "keystile_socket_keepalive"_ngx,
     .type = kAnyLevel | NGX_CONF_FLAG,
     .set = ngx_conf_set_flag_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.socket_keepalive),
     .post = nullptr},
    {.name = "keystile_ssl_name"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_str_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, ssl_name),
     .post = &no_variables},
    {.name = "keystile_ssl_trusted_certificate"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_str_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, ssl_trusted_certificate),
     .post = nullptr},
    {.name = "keystile_ssl_verify_depth"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_num_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, ssl_verify_depth),
     .post = nullptr},
    {.name = "keystile_ssl_crl"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_str_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, ssl_crl),
     .post = nullptr},
    {.name = "keystile_ssl_protocols"_ngx,
     .type = kAnyLevel | NGX_CONF_1MORE,
     .set = ngx_conf_set_bitmask_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, ssl_protocols),
     .post = ssl_protocols},
    {.name = "keystile_ssl_ciphers"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_conf_set_str_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, ssl_ciphers),
     .post = nullptr},
    {.name = "keystile_ssl_session_reuse"_ngx,
     .type = kAnyLevel | NGX_CONF_FLAG,
     .set = ngx_conf_set_flag_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.ssl_session_reuse),
     .post = nullptr},
    {.name = "keystile_ssl_certificate"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_http_set_complex_value_zero_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.ssl_certificate),
     .post = nullptr},
    {.name = "keystile_ssl_certificate_key"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE1,
     .set = ngx_http_set_complex_value_zero_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, upstream.ssl_certificate_key),
     .post = nullptr},
    {.name = "keystile_ssl_conf_command"_ngx,
     .type = kAnyLevel | NGX_CONF_TAKE2,
     .set = ngx_conf_set_keyval_slot,
     .conf = NGX_HTTP_LOC_CONF_OFFSET,
     .offset = offsetof(LocConf, ssl_conf_commands),
     .post = nullptr},
    {},
};

ngx_int_t install_filters(ngx_conf_t *cf) noexcept {
    ngx_int_t rc = install_error_filters(cf);
    return rc == NGX_OK ? install_upload_filter(cf) : rc;
}

constinit ngx_http_module_t context = {
    .preconfiguration = add_variables,
    .postconfiguration = install_filters,
    .create_main_conf = create_main_conf,
    .init_main_conf = init_main_conf,
    .create_srv_conf = nullptr,
    .merge_srv_conf = nullptr,
    .create_loc_conf = create_loc_conf,
    .merge_loc_conf = merge_loc_conf,
};

}  // namespace
}  // namespace keystile

extern "C" {

ngx_module_t ngx_http_keystile_module = {
    NGX_MODULE_V1,
    &keystile::context,      // module context
    keystile::commands,      // module directives
    NGX_HTTP_MODULE,         // module type
    nullptr,                 // init master
    keystile::init_module,   // init module
    keystile::init_process,  // init process
    nullptr,                 // init thread
    nullptr,                 // exit thread
    keystile::exit_process,  // exit process
    nullptr,                 // exit master
    NGX_MODULE_V1_PADDING,
};
}
