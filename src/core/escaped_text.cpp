#include "escaped_text.hpp"

#include <cstdint>

namespace keystile {
namespace {

struct Lead {
    std::size_t size;      // of the code point
    std::uint8_t lowest;   // that its second byte may be: what is less or
    std::uint8_t highest;  // more would be overlong, a surrogate, too large
};

constexpr Lead lead_of(std::uint8_t byte) noexcept {
    if (byte < 0x80) {
        return {1, 0, 0};
    }
    if (byte < 0xC2 || byte > 0xF4) {
        return {0, 0, 0};
    }
    if (byte < 0xE0) {
        return {2, 0x80, 0xBF};
    }
    if (byte < 0xF0) {
        return {3, byte == 0xE0 ? std::uint8_t{0xA0} : std::uint8_t{0x80},
                byte == 0xED ? std::uint8_t{0x9F} : std::uint8_t{0xBF}};
    }
    return {4, byte == 0xF0 ? std::uint8_t{0x90} : std::uint8_t{0x80},
            byte == 0xF4 ? std::uint8_t{0x8F} : std::uint8_t{0xBF}};
}

}  // namespace

std::size_t utf8_size(std::string_view text) noexcept {
    if (text.empty()) {
        return 0;
    }
    auto lead = lead_of(static_cast<std::uint8_t>(text.front()));
    if (text.size() < lead.size) {
        return 0;
    }
    for (std::size_t i = 1; i < lead.size; i++) {
        auto byte = static_cast<std::uint8_t>(text[i]);
        if (byte < lead.lowest || byte > lead.highest) {
            return 0;
        }
        lead.lowest = 0x80;
        lead.highest = 0xBF;
    }
    return lead.size;
}

}  // namespace keystile
