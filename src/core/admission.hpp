// The gate: who may send what. One pure function for HTTP and WebSocket.
//
// Order: form of the target, rule, client. Every refusal falls before a
// connection to the provider is opened.

#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "address_range.hpp"
#include "caller_headers.hpp"
#include "client_keys.hpp"
#include "denial.hpp"
#include "digest.hpp"
#include "limit.hpp"
#include "request_target.hpp"
#include "result.hpp"
#include "rules.hpp"

namespace keystile {

// One keystile_client_keys file.
struct ClientSet {
    std::string_view name;
    ClientKeys keys;
};

enum class Admit : unsigned char { clients, placeholder, any };

// What a location asks for. Immutable, standard layout.
struct Policy {
    std::span<const Rule> rules;
    std::span<const std::string_view> key_headers;
    Admit admit = Admit::clients;
    std::span<const ClientSet *const> client_sets;
    std::span<const std::string_view> placeholders;
    bool reject_foreign = false;
    bool any_client_rule = false;  // "allow" of a client does not narrow it
};

// What was asked. Views live as long as the request.
struct Inquiry {
    std::string_view method;
    std::string_view target;       // raw, as sent
    const CallerHeaders &headers;  // gathered with the policy's key headers
    std::optional<Address> peer;   // none for a Unix socket
    std::int64_t now;              // seconds since the epoch
    bool can_upgrade;              // HTTP/1.1, the only version that may
    bool has_body;                 // a body of one byte or more, or chunked
    bool lends_own = false;        // Authorization is for the provider
};

// Who is calling, once known.
struct Identity {
    const Client *client = nullptr;  // none with "placeholder" and "any"
    const ClientSet *set = nullptr;  // that the client is of
    std::string_view key_header;     // the header that decided
};

struct Refusal {
    Denial denial;
    std::string_view pattern;  // of the path, where a rule knows it
    std::optional<TargetFault> fault;
    std::string_view client;   // id, where it is known
    bool bearer_only = false;  // no header but Authorization was looked at
    Identity identity{};       // as far as it is known
    std::optional<UsedUp> used_up{};  // a limit, where it is one
    // Of that, or of the gateway's credentials: seconds since the epoch; 0
    // for `concurrent`, and where nobody knows.
    std::int64_t resets_at = 0;
};

// The right to send one request upstream. Only decide() makes one, and only
// with one can a credential be had.
class Permit {
public:
    const Rule &rule() const noexcept { return *rule_; }
    const RequestTarget &target() const noexcept { return target_; }
    const Identity &identity() const noexcept { return identity_; }
    bool websocket() const noexcept { return websocket_; }

private:
    Permit() = default;
    friend Result<Permit, Refusal> decide(const Policy &, const Inquiry &,
                                          Sha256 &, const Identity *) noexcept;

    const Rule *rule_ = nullptr;
    RequestTarget target_;
    Identity identity_;
    bool websocket_ = false;
};

using Decision = Result<Permit, Refusal>;

// `known` is the identity found when the same request was decided before, in
// another location. It holds where this location admits the set that the
// client is of, or anyone; elsewhere, the caller is looked at anew.
Decision decide(const Policy &policy, const Inquiry &inquiry, Sha256 &sha256,
                const Identity *known = nullptr) noexcept;

}  // namespace keystile
