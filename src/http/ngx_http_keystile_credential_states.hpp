// The states of all credentials, in memory that the workers share and that a
// reload hands on.

#pragma once

#include "ngx/nginx.hpp"

#include "core/digest.hpp"

namespace keystile {

struct MainConf;

inline constexpr std::size_t kMostCredentials = 256;

// Has nginx make the memory, and find the state of each credential in it
// before workers start. To be called once all credentials are known,
// of which there are no more than kMostCredentials.
// NGX_ERROR after logging why not.
ngx_int_t add_credential_states(ngx_conf_t *cf, MainConf &conf) noexcept;

// What a credential is known by in that memory, over reloads: its name, and
// its key, since a new key begins anew. `key` is the digest of the key.
std::optional<Sha256Digest> make_fingerprint(const ngx_str_t &name,
                                             const Sha256Digest &key) noexcept;

}  // namespace keystile
