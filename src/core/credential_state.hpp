// What the processes of nginx know of a credential between them: when the
// provider refused it, and what was sent with it. In memory that they share.
//
// Every member is a number of its own that any process may write at any time;
// none needs another to be read with it.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace keystile {

// Why the provider refused a credential.
enum class CredentialFault : std::uint8_t {
    rejected,      // 401: it is not accepted
    forbidden,     // 403 that says the same
    rate_limited,  // 429: not now
};
inline constexpr std::size_t kCredentialFaults = 3;

// As metrics and reports write it: "rejected".
std::string_view name_of(CredentialFault fault) noexcept;

struct alignas(64) CredentialState {
    std::atomic<std::int64_t> refused_at{0};  // milliseconds; 0: never
    std::atomic<std::int64_t> back_at{0};  // seconds; it cools down till then
    std::atomic<CredentialFault> fault{};  // the latest
    std::atomic<std::uint64_t> sent{0};    // tries
    std::array<std::atomic<std::uint64_t>, kCredentialFaults> refusals{};

    bool is_cooling(std::int64_t now) const noexcept {
        return back_at.load(std::memory_order_relaxed) > now;
    }

    // Counts a refusal.
    void refuse(CredentialFault why) noexcept;

    // Leaves it alone from `now_ms`, milliseconds since the epoch, until
    // `until`, in seconds.
    void cool_down(std::int64_t now_ms, std::int64_t until) noexcept;
};

// The credentials of a location, in the order of its configuration.
using CredentialStates = std::span<const CredentialState *const>;

// The most credentials of one location.
inline constexpr std::size_t kMostPooled = 32;

// The one to send: of those that do not cool down at `now`, in seconds, and
// whose bit in `tried` is not set, the one that was refused least recently;
// the first of equals. Requires at most kMostPooled.
std::optional<std::size_t> choose_credential(CredentialStates states,
                                             std::uint32_t tried,
                                             std::int64_t now) noexcept;

// When none can be sent.
struct Outage {
    std::int64_t back_at;  // the first that does not cool down any more
    bool rate_limited;     // and it is a rate limit that it waits for
};

// Requires one state or more. A credential that does not cool down is back
// now.
Outage outage_of(CredentialStates states, std::int64_t now) noexcept;

}  // namespace keystile
