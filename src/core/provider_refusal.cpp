#include "provider_refusal.hpp"

#include <algorithm>
#include <array>
#include <cstdint>

#include "ascii.hpp"

namespace keystile {
namespace {

constexpr std::array<std::string_view, 14> kBadCredential{
    "authentication_error",    "invalid_api_key",
    "invalid_authentication",  "invalid api key",
    "incorrect api key",       "invalid x-api-key",
    "api_key_invalid",         "api key not valid",
    "unauthenticated",         "account_deactivated",
    "api_key_service_blocked", "token_invalidated",
    "invalid_token",           "invalid subscription key",
};

// The runs of a secret, a bit for each: what has no bit is none of them. A
// token of a login has thousands, and what is searched may be long.
class Runs {
public:
    explicit Runs(std::string_view secret) noexcept {
        for (std::size_t i = 0; i + kTellingRun <= secret.size(); i++) {
            auto place = place_of(secret.data() + i);
            bits_[place / 64] |= std::uint64_t{1} << place % 64;
        }
    }
    bool may_hold(const char *run) const noexcept {
        auto place = place_of(run);
        return (bits_[place / 64] >> place % 64 & 1U) != 0;
    }

private:
    static constexpr unsigned kPlaceBits = 16;

    static std::size_t place_of(const char *run) noexcept {
        constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;
        std::uint64_t bytes = 0;
        std::copy_n(run, kTellingRun, reinterpret_cast<char *>(&bytes));
        return bytes * kFactor >> (64 - kPlaceBits);
    }

    std::array<std::uint64_t, (1U << kPlaceBits) / 64> bits_{};
};

}  // namespace

bool says_credential_is_bad(std::string_view body) noexcept {
    return std::any_of(kBadCredential.begin(), kBadCredential.end(),
                       [body](std::string_view phrase) {
                           return std::search(body.begin(), body.end(),
                                              phrase.begin(), phrase.end(),
                                              [](char a, char b) {
                                                  return lower(a) == b;
                                              }) != body.end();
                       });
}

bool repeats_secret(std::string_view body, std::string_view secret) noexcept {
    const Runs runs{secret};
    for (std::size_t i = 0; i + kTellingRun <= body.size(); i++) {
        if (runs.may_hold(body.data() + i) &&
            secret.find(body.substr(i, kTellingRun)) !=
                std::string_view::npos) {
            return true;
        }
    }
    return false;
}

bool SecretGuard::pass(std::string_view piece,
                       std::string_view secret) noexcept {
    // Where the pieces meet: what was kept, and as much of the new one.
    std::array<char, 2 * (kTellingRun - 1)> seam;
    auto head = piece.substr(0, kTellingRun - 1);
    auto *end = std::copy_n(tail_.begin(), tail_size_, seam.begin());
    end = std::copy(head.begin(), head.end(), end);
    std::string_view joined{seam.data(),
                            static_cast<std::size_t>(end - seam.data())};
    if (repeats_secret(joined, secret) || repeats_secret(piece, secret)) {
        return false;
    }

    auto last = piece.size() >= tail_.size() ? piece : joined;
    last.remove_prefix(last.size() - std::min(last.size(), tail_.size()));
    std::copy(last.begin(), last.end(), tail_.begin());
    tail_size_ = last.size();
    return true;
}

}  // namespace keystile
