// SHA-256 of presented keys (FIPS 180-4, by OpenSSL), and comparison in
// constant time.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keystile {

using Sha256Digest = std::array<std::uint8_t, 32>;

// "sha256:" and 64 hexadecimal digits of either case.
std::optional<Sha256Digest> parse_sha256(std::string_view text) noexcept;

// SHA-256 that has passed a known-answer test. digest() allocates nothing,
// looks nothing up, and leaves nothing of the text behind.
class Sha256 {
public:
    // Nothing when OpenSSL's SHA-256 is out of order.
    static std::optional<Sha256> create() noexcept;

    // False only on an internal error of OpenSSL; `digest` is then undefined.
    [[nodiscard]] bool digest(std::string_view text,
                              Sha256Digest &digest) noexcept;

private:
    Sha256() = default;
};

// Takes the same time whatever the content.
bool equal_in_constant_time(const Sha256Digest &a,
                            const Sha256Digest &b) noexcept;

// Takes the same time whatever the content; lengths may show.
bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept;

}  // namespace keystile
