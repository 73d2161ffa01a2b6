// The clients of a client-key file, and the lookup of one by its key.
//
// Plain views into memory that the caller owns (an nginx pool): nothing here
// has a destructor, and nothing changes once it is made.

#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "address_range.hpp"
#include "digest.hpp"
#include "limit.hpp"
#include "rules.hpp"

namespace keystile {

struct Client {
    std::string_view id;
    std::optional<std::int64_t> expires;  // seconds since the epoch
    bool disabled = false;
    std::span<const AddressRange> from{};        // empty: from anywhere
    std::span<const Rule> allow{};               // empty: the location's
    std::span<const std::string_view> models{};  // patterns; empty: all
    std::span<const Limit> limits{};

    // Whether it must be known which model a request is for.
    bool needs_model() const noexcept {
        return !models.empty() ||
               std::any_of(limits.begin(), limits.end(),
                           [](const Limit &l) { return !l.model.empty(); });
    }
};

struct ClientKeySlot {
    Sha256Digest digest;
    std::uint32_t client;  // index into the clients, plus 1; 0: empty slot
};

// A hash table with open addressing. A digest is its own hash: the first bits
// of SHA-256 spread evenly, and nobody can aim a key at a slot.
struct ClientKeys {
    std::span<const Client> clients;
    std::span<const ClientKeySlot> slots;  // a power of two, half full at most

    // The client that has a key of this digest, or null. The time depends on
    // neither the number of keys nor on how much of a digest is right.
    const Client *find(const Sha256Digest &digest) const noexcept;
};

// The number of slots for so many keys.
std::size_t client_key_slot_count(std::size_t keys) noexcept;

// Enters a key of client number `client`, counted from 0. If the digest is in
// use already, the table stays as it is, and its slot is returned; else null.
// Requires that the table has room.
const ClientKeySlot *insert_client_key(std::span<ClientKeySlot> slots,
                                       const Sha256Digest &digest,
                                       std::size_t client) noexcept;

}  // namespace keystile
