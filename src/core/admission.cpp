#include "admission.hpp"

#include <algorithm>

#include "ascii.hpp"
#include "key_header.hpp"

namespace keystile {
namespace {

Refusal refuse(Denial denial) noexcept {
    Refusal refusal{};
    refusal.denial = denial;
    return refusal;
}

bool wants_websocket(const Inquiry &inquiry) noexcept {
    return inquiry.can_upgrade && inquiry.method == "GET" &&
           inquiry.headers.asks_for_websocket();
}

Result<const Rule *, Refusal> find_rule(const Policy &policy,
                                        const Inquiry &inquiry,
                                        const RequestTarget &target,
                                        bool websocket) noexcept {
    auto match = match_rules(policy.rules, inquiry.method, target.path);
    if (match.pattern.empty()) {
        return refuse(Denial::path_not_allowed);
    }

    auto denied = [&match](Denial denial) {
        auto refusal = refuse(denial);
        refusal.pattern = match.pattern;
        return refusal;
    };
    const Rule *rule = websocket ? match.websocket : match.plain;
    if (rule == nullptr) {
        return denied(websocket ? Denial::websocket_not_allowed
                                : Denial::method_not_allowed);
    }
    if (websocket && inquiry.has_body) {
        return denied(Denial::bad_request_body);
    }
    switch (check_query(*rule, target)) {
    case QueryVerdict::carries_key:
        return denied(Denial::key_in_query);
    case QueryVerdict::not_allowed:
        return denied(Denial::query_not_allowed);
    case QueryVerdict::allowed:
        break;
    }
    return rule;
}

// Why a caller is not let in, and who it is where that is known.
struct Rejected {
    Denial denial;
    Identity identity;
};

Result<Identity, Rejected> check_client_key(const Policy &policy,
                                            std::string_view key,
                                            std::int64_t now,
                                            Sha256 &sha256) noexcept {
    Sha256Digest digest;
    if (!sha256.digest(key, digest)) {
        return Rejected{Denial::invalid_key, {}};
    }

    for (const ClientSet *set : policy.client_sets) {
        const Client *client = set->keys.find(digest);
        if (client == nullptr) {
            continue;
        }
        Identity identity{.client = client, .set = set, .key_header = {}};
        if (client->disabled) {
            return Rejected{Denial::invalid_key, identity};
        }
        if (client->expires && now >= *client->expires) {
            return Rejected{Denial::expired_key, identity};
        }
        return identity;
    }
    return Rejected{Denial::invalid_key, {}};
}

bool is_placeholder(const Policy &policy, std::string_view key) noexcept {
    return std::find(policy.placeholders.begin(), policy.placeholders.end(),
                     key) != policy.placeholders.end();
}

Result<Identity, Rejected> check_key(const Policy &policy,
                                     std::string_view key, std::int64_t now,
                                     Sha256 &sha256) noexcept {
    if (policy.admit == Admit::clients) {
        return check_client_key(policy, key, now, sha256);
    }
    if (is_placeholder(policy, key)) {
        return Identity{};
    }
    return Rejected{Denial::invalid_key, {}};
}

// The first header that carries a good key decides; if none does, the last
// one that carries a key gives the error. One that is absent or carries no
// key at all has no say.
Result<Identity, Rejected> find_key(const Policy &policy,
                                    const Inquiry &inquiry, bool bearer_only,
                                    Sha256 &sha256) noexcept {
    const auto &headers = inquiry.headers;
    Rejected rejected{Denial::missing_key, {}};

    for (std::size_t i = 0; i < headers.key_headers().size(); i++) {
        auto name = headers.key_headers()[i];
        if (bearer_only && !equals_ignoring_case(name, "authorization")) {
            continue;
        }
        auto key = read_key_header(name, headers.presented(i));
        if (key.empty()) {
            continue;
        }
        auto identity = check_key(policy, key, inquiry.now, sha256);
        if (identity) {
            identity->key_header = name;
            return identity;
        }
        rejected = identity.error();
    }
    return rejected;
}

// Whether the request carries a credential that is neither one of the
// placeholders this location is there to take nor the one that it sends on.
bool has_foreign_credential(const Policy &policy,
                            const Inquiry &inquiry) noexcept {
    const auto &headers = inquiry.headers;
    std::size_t expected = inquiry.lends_own ? 1 : 0;
    for (std::size_t i = 0; i < headers.key_headers().size(); i++) {
        auto key =
            read_key_header(headers.key_headers()[i], headers.presented(i));
        expected += policy.admit == Admit::placeholder && !key.empty() &&
                    is_placeholder(policy, key);
    }
    return headers.credentials_seen() > expected;
}

Result<Identity, Rejected> identify(const Policy &policy,
                                    const Inquiry &inquiry, const Rule &rule,
                                    Sha256 &sha256) noexcept {
    if (inquiry.headers.has_doubled_key_header()) {
        return Rejected{Denial::duplicate_key_header, {}};
    }
    if (policy.admit != Admit::clients && policy.reject_foreign &&
        has_foreign_credential(policy, inquiry)) {
        return Rejected{Denial::foreign_credential, {}};
    }
    if (policy.admit == Admit::any) {
        return Identity{};
    }
    return find_key(policy, inquiry, rule.bearer_only, sha256);
}

// Whether an identity from another location is good for this one.
bool holds_here(const Policy &policy, const Rule &rule,
                const Identity &known) noexcept {
    if (rule.bearer_only &&
        !equals_ignoring_case(known.key_header, "authorization")) {
        return false;
    }
    auto sets = policy.client_sets;
    return policy.admit == Admit::any ||
           (policy.admit == Admit::clients && known.set != nullptr &&
            std::find(sets.begin(), sets.end(), known.set) != sets.end());
}

// What the client's own entry in the file asks for.
std::optional<Denial> check_client(const Policy &policy,
                                   const Identity &identity,
                                   const Inquiry &inquiry,
                                   const RequestTarget &target,
                                   bool websocket) noexcept {
    if (identity.client == nullptr) {
        return std::nullopt;
    }

    auto from = identity.client->from;
    bool near =
        inquiry.peer && std::any_of(from.begin(), from.end(),
                                    [&inquiry](const AddressRange &range) {
                                        return range.contains(*inquiry.peer);
                                    });
    if (!from.empty() && !near) {
        return Denial::address_not_allowed;
    }

    auto allow = identity.client->allow;
    bool named =
        std::any_of(allow.begin(), allow.end(), [&](const Rule &rule) {
            return rule.websocket == websocket &&
                   has_method(rule.methods, inquiry.method) &&
                   path_matches(rule.path, target.path);
        });
    if (!allow.empty() && !named && !policy.any_client_rule) {
        return Denial::client_not_allowed;
    }
    return std::nullopt;
}

}  // namespace

Decision decide(const Policy &policy, const Inquiry &inquiry, Sha256 &sha256,
                const Identity *known) noexcept {
    auto target = parse_request_target(inquiry.target);
    if (!target) {
        auto refusal = refuse(Denial::bad_request_target);
        refusal.fault = target.error();
        return refusal;
    }

    if (inquiry.headers.connection_names_too_many()) {
        return refuse(Denial::too_many_connection_options);
    }
    bool websocket = wants_websocket(inquiry);
    auto rule = find_rule(policy, inquiry, *target, websocket);
    if (!rule) {
        return rule.error();
    }

    auto identity = known != nullptr && holds_here(policy, **rule, *known)
                        ? Result<Identity, Rejected>{*known}
                        : identify(policy, inquiry, **rule, sha256);
    if (!identity) {
        auto refusal = refuse(identity.error().denial);
        refusal.identity = identity.error().identity;
        if (refusal.identity.client != nullptr) {
            refusal.client = refusal.identity.client->id;
        }
        refusal.bearer_only = (*rule)->bearer_only;
        refusal.pattern = (*rule)->path;
        return refusal;
    }
    if (auto denial =
            check_client(policy, *identity, inquiry, *target, websocket)) {
        auto refusal = refuse(*denial);
        refusal.identity = *identity;
        refusal.client = identity->client->id;
        refusal.pattern = (*rule)->path;
        return refusal;
    }

    Permit permit;
    permit.rule_ = *rule;
    permit.target_ = *target;
    permit.identity_ = *identity;
    permit.websocket_ = websocket;
    return permit;
}

}  // namespace keystile
