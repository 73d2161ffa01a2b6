// Where a credential comes from, and reading it at configuration time.

#pragma once

#include "ngx/nginx.hpp"

#include "core/secret_line.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {

// What keystile_credential says of it.
struct CredentialSource {
    ngx_str_t *name = nullptr;
    ngx_str_t *file = nullptr;  // "-": standard input
    HeaderLineFormat format{};
    bool codex_auth = false;  // an auth.json, whose format is its own
    bool relaxed = false;     // others may read the file
};

// Sets the secret of the credential, and when it expires. NGX_ERROR after
// logging why not.
ngx_int_t read_credential(ngx_conf_t *cf, const CredentialSource &source,
                          Credential &credential) noexcept;

}  // namespace keystile
