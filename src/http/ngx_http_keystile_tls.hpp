// TLS, to the provider and from clients. In an nginx without http_ssl_module
// there is none (no_tls.cpp): an https:// destination is then an error of the
// configuration, and the rest has nothing to do.

#pragma once

#include "ngx/nginx.hpp"

namespace keystile {

struct LocConf;

// The TLS context of a location with an https:// destination, shared with an
// earlier location of the same settings. Certificates are verified and the
// name is sent, always.
ngx_int_t set_up_tls(ngx_conf_t *cf, LocConf &conf) noexcept;

// Whether a connection to a provider was made and verified with the context
// of the request's own location. Nothing may be sent on any other.
bool is_verified_here(ngx_http_request_t *r,
                      const ngx_connection_t *c) noexcept;

// Makes OpenSSL zero what it has decrypted once nginx has read it, on the
// listeners of the server that is being merged.
void forget_decrypted_requests(ngx_conf_t *cf) noexcept;

// Wipes what has gone out from the TLS buffer of a connection to a provider.
void wipe_tls_buffer(ngx_connection_t *c) noexcept;

// Makes sure that what is left of a request in that buffer is zeroed when the
// connection goes. False when out of memory.
bool forget_tls_buffer_at_close(ngx_connection_t *c) noexcept;

}  // namespace keystile
