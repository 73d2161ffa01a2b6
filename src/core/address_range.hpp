// IP addresses and networks, both families in one form.

#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keystile {

// In network order; IPv4 as an IPv4-mapped address (::ffff:a.b.c.d, RFC 4291
// 2.5.5.2), which is also what a dual-stack socket shows.
struct Address {
    std::array<std::uint8_t, 16> bytes;

    static constexpr Address from_ipv4(
        const std::array<std::uint8_t, 4> &v4) noexcept {
        return {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, v4[0], v4[1], v4[2],
                 v4[3]}};
    }

    constexpr bool is_ipv4() const noexcept {
        for (std::size_t i = 0; i < 10; i++) {
            if (bytes[i] != 0) {
                return false;
            }
        }
        return bytes[10] == 0xFF && bytes[11] == 0xFF;
    }

    friend constexpr bool operator==(const Address &,
                                     const Address &) = default;
};

struct AddressRange {
    Address network;
    std::uint8_t prefix;  // in bits of the 16 bytes: 10.0.0.0/8 has 104

    // A network of one family holds no address of the other: "::/0" is all of
    // IPv6, and no IPv4.
    bool contains(const Address &address) const noexcept;
};

// "10.0.0.0/8", "192.0.2.1", "2001:db8::/32". Nothing for any other form:
// a bit set after the prefix ("10.0.0.1/8"), short or octal IPv4, a zone.
std::optional<AddressRange> parse_address_range(
    std::string_view text) noexcept;

}  // namespace keystile
