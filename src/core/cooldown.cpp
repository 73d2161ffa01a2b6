#include "cooldown.hpp"

#include <algorithm>
#include <charconv>

#include "ascii.hpp"

namespace keystile {
namespace {

constexpr std::array<std::string_view, 2> kWindows{"x-codex-primary-",
                                                   "x-codex-secondary-"};

// The whole part of a number of digits, with or without decimals.
std::optional<std::int64_t> read_number(std::string_view text) noexcept {
    std::int64_t number = 0;
    auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number);
    std::string_view rest{
        end, static_cast<std::size_t>(text.data() + text.size() - end)};
    bool is_number = error == std::errc{} && number >= 0 &&
                     (rest.empty() || (rest.starts_with('.') &&
                                       all<is_digit>(rest.substr(1))));
    return is_number ? std::optional{number} : std::nullopt;
}

}  // namespace

void CooldownHeaders::see(std::string_view name, std::string_view value,
                          std::int64_t date, std::int64_t now) noexcept {
    auto number = read_number(value);
    if (equals_ignoring_case(name, "retry-after")) {
        if (number && *number <= kLongestCooldown) {
            retry_at_ = now + *number;
        } else if (number) {
            retry_at_ = now + kLongestCooldown;
        } else if (date >= 0) {
            retry_at_ = date;
        }
        return;
    }
    for (std::size_t i = 0; number && i < kWindows.size(); i++) {
        auto prefix = kWindows[i];
        if (!equals_ignoring_case(name.substr(0, prefix.size()), prefix)) {
            continue;
        }
        auto rest = name.substr(prefix.size());
        if (equals_ignoring_case(rest, "reset-at")) {
            windows_[i].reset_at = *number;
        } else if (equals_ignoring_case(rest, "used-percent")) {
            windows_[i].used_up = *number >= 100;
        }
    }
}

std::optional<std::int64_t> CooldownHeaders::wanted_by_windows()
    const noexcept {
    std::optional<std::int64_t> earliest;
    std::optional<std::int64_t> latest_used_up;
    for (const auto &window : windows_) {
        if (window.reset_at == 0) {
            continue;
        }
        earliest =
            std::min(earliest.value_or(window.reset_at), window.reset_at);
        if (window.used_up) {
            latest_used_up =
                std::max(latest_used_up.value_or(0), window.reset_at);
        }
    }
    return latest_used_up ? latest_used_up : earliest;
}

std::int64_t CooldownHeaders::until(std::int64_t cooldown,
                                    std::int64_t now) const noexcept {
    auto wanted = retry_at_ ? retry_at_ : wanted_by_windows();
    return std::clamp(wanted.value_or(now + cooldown), now + 1,
                      now + kLongestCooldown);
}

}  // namespace keystile
