// The configuration: what the directives record, and the immutable route that
// a location's merge makes of it. Everything lives in the configuration pool
// and is never written to once workers run.

#pragma once

#include "ngx/nginx.hpp"

#include "core/admission.hpp"
#include "core/credential_state.hpp"
#include "core/error_body.hpp"
#include "core/price_table.hpp"
#include "core/request_head.hpp"
#include "core/secret_line.hpp"

extern "C" {
extern ngx_module_t ngx_http_keystile_module;
}

namespace keystile {

struct RecordConf;
struct Zone;

// keystile_key_headers, where it is not given.
inline constexpr std::array<std::string_view, 2> kDefaultKeyHeaderNames{
    "authorization", "x-api-key"};
inline constexpr std::span<const std::string_view> kDefaultKeyHeaders{
    kDefaultKeyHeaderNames};

// One keystile_credential.
struct Credential {
    ngx_str_t name;                 // in the configuration and in logs
    ngx_str_t header;               // "Authorization"
    std::span<const ngx_str_t> to;  // hosts it may go to; empty: any
    // Others that it may bring along: none of a client's goes up with it.
    std::span<const std::string_view> more_headers;
    const SecretLine *secret;  // null in a process that only signals
    std::int64_t expires;      // seconds since the epoch; 0: not known
    Sha256Digest fingerprint;  // see credential_states.hpp
    CredentialState *state;    // shared; null until workers are to start
    u_char *file_name;         // where it was written
    ngx_uint_t file_line;

    // The complete header lines. Only an admitted request may have them.
    std::string_view line(const Permit &) const noexcept {
        return secret->line();
    }
};

struct MainConf {
    ngx_flag_t harden;
    ngx_array_t credentials;   // Credential *
    ngx_array_t client_sets;   // ClientSet *
    ngx_array_t zones;         // Zone *
    ngx_array_t record_files;  // RecordFile *
    const PriceTable *prices;  // null: no keystile_prices
    ngx_array_t tls;           // LocConf *, each with a TLS context of its own
    // Values of any "keystile_admit placeholder": none of them is anyone's own
    // credential.
    ngx_array_t placeholders;  // std::string_view
    // Names in any keystile_key_headers: none of them goes up anywhere, since
    // a redirect can take a request from one location to another.
    // Those of credentials are among them.
    ngx_array_t key_headers;  // std::string_view
};

struct SetHeader {
    std::string_view name;
    ngx_http_complex_value_t value;
};

// What a location does with a request, worked out once. Standard layout.
struct Route {
    Policy policy;
    RequestHeadPolicy head;
    RequestHeadPolicy own_head;  // where the caller's own credential goes up
    std::span<const Credential *const> credentials;  // one, or a pool
    bool passthrough;  // the caller's own credential goes before them
    bool injects;      // false: nothing is, and none of these either
    std::span<const SetHeader> set_headers;
    std::string_view host;              // for the Host header
    std::string_view base;              // path before every target
    std::string_view key_header_words;  // " in Authorization header or …"
};

enum class Handler : unsigned char { none, pass, health, usage, status };

// keystile_next_credential.
struct NextCredential {
    enum : ngx_uint_t {
        on_401 = 1,
        on_403 = 2,
        on_429 = 4,
        on_error = 8,
        on_timeout = 16,
    };
    ngx_uint_t conditions;
    time_t cooldown;   // seconds
    ngx_uint_t tries;  // 0: as many as there are credentials
    bool is_given;     // a lone credential cools down only then
};

// In keystile_inject, and as $keystile_credential.
inline constexpr std::string_view kPassthrough = "passthrough";
inline constexpr std::string_view kOff = "off";

inline constexpr time_t kDefaultCooldown = 60;

enum class StatusFormat : ngx_uint_t { prometheus, json, html };

enum class ErrorFormat : ngx_uint_t { automatic, openai, anthropic };

// Where keystile_pass leads, as written.
struct Destination {
    ngx_str_t url;
    ngx_url_t parsed;  // host, port, socket path
    bool tls;
    bool insecure_allowed;
    ngx_str_t base;
};

struct LocConf {
    // Slots write here; "upstream" is what nginx's upstream module reads.
    ngx_http_upstream_conf_t upstream;
    // The same with keystile_websocket_timeout: in force from a 101 on.
    ngx_http_upstream_conf_t tunnel;
    // The same for the moment in which nginx goes on to the next credential.
    ngx_http_upstream_conf_t next_try;
    ngx_msec_t websocket_timeout;

    // Where the directive that made it a location of ours was written, for
    // messages of the merge.
    ngx_str_t directive;
    u_char *file_name;
    ngx_uint_t line;

    Destination *destination;                // null: no keystile_pass here
    ngx_http_upstream_resolved_t *resolved;  // null: known at start
    Handler handler;

    RecordConf *record;  // null: off
    Zone *meter;         // of keystile_meter; null: off
    Zone *shown;         // of keystile_usage, keystile_status
    StatusFormat status_format;

    ngx_array_t *rules;        // Rule
    ngx_array_t *admit;        // ngx_str_t, as written
    ngx_array_t *key_headers;  // ngx_str_t
    ngx_array_t *inject;       // ngx_str_t
    const NextCredential *next_credential;
    ngx_array_t *set_headers;  // SetHeader
    ngx_uint_t foreign_keys;   // 1: reject
    ngx_uint_t error_format;   // ErrorFormat

    ngx_str_t ssl_name;
    ngx_uint_t ssl_protocols;
    ngx_str_t ssl_ciphers;
    ngx_uint_t ssl_verify_depth;
    ngx_str_t ssl_trusted_certificate;
    ngx_str_t ssl_crl;
    ngx_flag_t ssl_session_reuse;
    ngx_http_complex_value_t *ssl_certificate;
    ngx_http_complex_value_t *ssl_certificate_key;
    ngx_array_t *ssl_conf_commands;

    const Route *route;  // null: no keystile_pass and no keystile_usage here
};

inline MainConf *main_conf(ngx_conf_t *cf) noexcept {
    return static_cast<MainConf *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_keystile_module));
}

inline MainConf *main_conf(ngx_http_request_t *r) noexcept {
    return static_cast<MainConf *>(
        ngx_http_get_module_main_conf(r, ngx_http_keystile_module));
}

inline LocConf *loc_conf(ngx_http_request_t *r) noexcept {
    return static_cast<LocConf *>(
        ngx_http_get_module_loc_conf(r, ngx_http_keystile_module));
}

// Adds to conf.key_headers; false when out of memory.
bool note_key_header(MainConf &conf, std::string_view name) noexcept;

// ngx_http_module_t callbacks.
void *create_main_conf(ngx_conf_t *cf) noexcept;
char *init_main_conf(ngx_conf_t *cf, void *conf) noexcept;
void *create_loc_conf(ngx_conf_t *cf) noexcept;
char *merge_loc_conf(ngx_conf_t *cf, void *parent, void *child) noexcept;

// Says what is wrong with a location as a whole, at the directive that made
// it ours. NGX_ERROR.
ngx_int_t fail_location(ngx_conf_t *cf, const LocConf &conf, const char *what,
                        const ngx_str_t &word = {}) noexcept;

// Of keystile_inject, into the route. NGX_ERROR after logging why not.
ngx_int_t resolve_credentials(ngx_conf_t *cf, const LocConf &conf,
                              Route &route) noexcept;

// Of keystile_set_header, into the route. NGX_ERROR after logging why not.
ngx_int_t resolve_set_headers(ngx_conf_t *cf, const LocConf &conf,
                              Route &route) noexcept;

// Makes conf.route, conf.upstream.upstream or conf.resolved out of a merged
// location with keystile_pass. NGX_ERROR after logging why not.
ngx_int_t make_route(ngx_conf_t *cf, LocConf &conf) noexcept;

// The same for keystile_usage, where only the caller is of interest.
ngx_int_t make_usage_route(ngx_conf_t *cf, LocConf &conf) noexcept;

// Where the destination is: a group, addresses known now, or a name to be
// resolved for each request.
ngx_int_t find_upstream(ngx_conf_t *cf, LocConf &conf) noexcept;

}  // namespace keystile
