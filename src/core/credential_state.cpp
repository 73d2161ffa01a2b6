#include "credential_state.hpp"

#include <algorithm>

namespace keystile {

std::string_view name_of(CredentialFault fault) noexcept {
    switch (fault) {
    case CredentialFault::rejected:
        return "rejected";
    case CredentialFault::forbidden:
        return "forbidden";
    case CredentialFault::rate_limited:
        return "rate_limited";
    }
    return "unknown";
}

void CredentialState::refuse(CredentialFault why) noexcept {
    refusals[static_cast<std::size_t>(why)].fetch_add(
        1, std::memory_order_relaxed);
    fault.store(why, std::memory_order_relaxed);
}

void CredentialState::cool_down(std::int64_t now_ms,
                                std::int64_t until) noexcept {
    refused_at.store(now_ms, std::memory_order_relaxed);
    back_at.store(until, std::memory_order_relaxed);
}

std::optional<std::size_t> choose_credential(CredentialStates states,
                                             std::uint32_t tried,
                                             std::int64_t now) noexcept {
    std::optional<std::size_t> best;
    std::int64_t best_refused_at = 0;
    for (std::size_t i = 0; i < states.size(); i++) {
        if ((tried >> i & 1U) != 0 || states[i]->is_cooling(now)) {
            continue;
        }
        auto refused_at =
            states[i]->refused_at.load(std::memory_order_relaxed);
        if (!best || refused_at < best_refused_at) {
            best = i;
            best_refused_at = refused_at;
        }
    }
    return best;
}

Outage outage_of(CredentialStates states, std::int64_t now) noexcept {
    const auto *first = *std::min_element(
        states.begin(), states.end(), [](const auto *a, const auto *b) {
            return a->back_at.load(std::memory_order_relaxed) <
                   b->back_at.load(std::memory_order_relaxed);
        });
    return {.back_at =
                std::max(first->back_at.load(std::memory_order_relaxed), now),
            .rate_limited = first->fault.load(std::memory_order_relaxed) ==
                            CredentialFault::rate_limited};
}

}  // namespace keystile
