#include "client_keys.hpp"

#include <bit>
#include <cstring>

namespace keystile {
namespace {

// Walks over the slots that may hold a digest, in the order of the search.
class Probe {
public:
    Probe(const Sha256Digest &digest, std::size_t slot_count) noexcept
        : mask_{slot_count - 1} {
        std::memcpy(&slot_, digest.data(), sizeof(slot_));
        slot_ &= mask_;
    }

    std::size_t slot() const noexcept { return slot_; }
    void next() noexcept { slot_ = (slot_ + 1) & mask_; }

private:
    std::size_t mask_;
    std::size_t slot_;
};

}  // namespace

// An empty slot is compared as well, so that the first probe of an unknown
// key costs what that of a known one does. The table is never full, so the
// loop ends.
const Client *ClientKeys::find(const Sha256Digest &digest) const noexcept {
    if (slots.empty()) {
        return nullptr;
    }
    for (Probe probe{digest, slots.size()};; probe.next()) {
        const auto &slot = slots[probe.slot()];
        auto equal = equal_in_constant_time(slot.digest, digest);
        if (slot.client == 0) {
            return nullptr;
        }
        if (equal) {
            return &clients[slot.client - 1];
        }
    }
}

std::size_t client_key_slot_count(std::size_t keys) noexcept {
    return std::bit_ceil(2 * keys + 1);
}

const ClientKeySlot *insert_client_key(std::span<ClientKeySlot> slots,
                                       const Sha256Digest &digest,
                                       std::size_t client) noexcept {
    for (Probe probe{digest, slots.size()};; probe.next()) {
        auto &slot = slots[probe.slot()];
        if (slot.client == 0) {
            slot = {digest, static_cast<std::uint32_t>(client + 1)};
            return nullptr;
        }
        if (slot.digest == digest) {
            return &slot;
        }
    }
}

}  // namespace keystile
