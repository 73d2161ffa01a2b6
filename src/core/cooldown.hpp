// How long a credential is to be left alone, by the headers of the reply that
// refused it.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keystile {

// No provider's window is longer than a month; a time further off is a
// mistake, and would take the credential away for good.
inline constexpr std::int64_t kLongestCooldown =
    std::int64_t{31} * 24 * 3600;  // seconds

class CooldownHeaders {
public:
    // To be called once for each header of the reply. Reads Retry-After (RFC
    // 9110 section 10.2.3) in seconds, and ChatGPT's
    // x-codex-{primary,secondary}-reset-at, in seconds since the epoch, and
    // -used-percent. `date` is what Retry-After is as an HTTP-date, or -1.
    void see(std::string_view name, std::string_view value, std::int64_t date,
             std::int64_t now) noexcept;

    // Until when: what Retry-After says, else the latest reset of a window
    // that is used up, or the earliest where none says so, else
    // `cooldown` seconds from now. From 1 second to kLongestCooldown.
    std::int64_t until(std::int64_t cooldown, std::int64_t now) const noexcept;

private:
    struct Window {
        std::int64_t reset_at = 0;  // 0: not told
        bool used_up = false;
    };
    std::optional<std::int64_t> wanted_by_windows() const noexcept;

    std::optional<std::int64_t> retry_at_;
    std::array<Window, 2> windows_{};
};

}  // namespace keystile
