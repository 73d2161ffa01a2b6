#include "address_range.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>

namespace keystile {
namespace {

struct Parsed {
    Address address;
    std::uint8_t bits;         // of an address of this family
    std::uint8_t prefix_base;  // what comes before those bits
};

// inet_pton(3) is as strict as is wanted: four decimal numbers without
// leading zeros, the forms of RFC 4291 2.2, and no zone.
std::optional<Parsed> parse_address(std::string_view text) noexcept {
    char c_text[INET6_ADDRSTRLEN];
    if (text.size() >= sizeof(c_text) ||
        text.find('\0') != std::string_view::npos) {
        return std::nullopt;
    }
    *std::copy(text.begin(), text.end(), c_text) = '\0';

    std::array<std::uint8_t, 4> v4;
    if (inet_pton(AF_INET, c_text, v4.data()) == 1) {
        return Parsed{Address::from_ipv4(v4), 32, 96};
    }
    Address v6;
    if (inet_pton(AF_INET6, c_text, v6.bytes.data()) == 1) {
        return Parsed{v6, 128, 0};
    }
    return std::nullopt;
}

// A decimal number of one form only: "8", but not "08" or "+8".
std::optional<std::uint8_t> parse_prefix(std::string_view text,
                                         std::uint8_t max) noexcept {
    std::uint8_t prefix = 0;
    auto end = text.data() + text.size();
    auto [stop, error] = std::from_chars(text.data(), end, prefix);
    if (error != std::errc{} || stop != end || prefix > max ||
        (text.size() > 1 && text.front() == '0')) {
        return std::nullopt;
    }
    return prefix;
}

// The bits of byte number `index` that belong to a prefix.
std::uint8_t prefix_mask(std::size_t prefix, std::size_t index) noexcept {
    auto bits = std::clamp(
        static_cast<int>(prefix) - static_cast<int>(index) * 8, 0, 8);
    return static_cast<std::uint8_t>(0xFF << (8 - bits));
}

}  // namespace

bool AddressRange::contains(const Address &address) const noexcept {
    if (address.is_ipv4() != (network.is_ipv4() && prefix >= 96)) {
        return false;
    }
    for (std::size_t i = 0; i < network.bytes.size(); i++) {
        auto difference = address.bytes[i] ^ network.bytes[i];
        if ((difference & prefix_mask(prefix, i)) != 0) {
            return false;
        }
    }
    return true;
}

std::optional<AddressRange> parse_address_range(
    std::string_view text) noexcept {
    auto slash = text.find('/');
    auto parsed = parse_address(text.substr(0, slash));
    if (!parsed) {
        return std::nullopt;
    }

    auto bits = parsed->bits;
    if (slash != std::string_view::npos) {
        auto prefix = parse_prefix(text.substr(slash + 1), parsed->bits);
        if (!prefix) {
            return std::nullopt;
        }
        bits = *prefix;
    }

    AddressRange range{parsed->address,
                       static_cast<std::uint8_t>(parsed->prefix_base + bits)};
    for (std::size_t i = 0; i < range.network.bytes.size(); i++) {
        if ((range.network.bytes[i] & ~prefix_mask(range.prefix, i)) != 0) {
            return std::nullopt;
        }
    }
    return range;
}

}  // namespace keystile
