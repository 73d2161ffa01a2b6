// Writes WebSocket frames (RFC 6455 section 5.2).

#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace keystile {

struct FrameOptions {
    bool is_last = true;
    bool is_masked = false;
    int length_bytes = 0;  // 0: as few as will do; or 1, 2, 8
    unsigned rsv = 0;      // as bits of the first byte
};

constexpr unsigned kContinuationFrame = 0;
constexpr unsigned kTextFrame = 1;
constexpr unsigned kBinaryFrame = 2;
constexpr unsigned kCloseFrame = 8;
constexpr unsigned kPingFrame = 9;
constexpr unsigned kPongFrame = 10;

inline std::string frame(unsigned opcode, std::string_view payload,
                         FrameOptions options = {}) {
    auto byte = [](std::size_t value) { return static_cast<char>(value); };
    auto size = payload.size();
    auto length_bytes = options.length_bytes != 0 ? options.length_bytes
                        : size < 126              ? 1
                        : size < 65536            ? 2
                                                  : 8;
    std::string out;
    out += byte((options.is_last ? 0x80U : 0) | options.rsv | opcode);
    auto masked = options.is_masked ? 0x80U : 0;
    out += byte(masked | (length_bytes == 1   ? size
                          : length_bytes == 2 ? 126
                                              : 127));
    for (int i = length_bytes - 1; i >= 0 && length_bytes > 1; i--) {
        out += byte(size >> (8 * i) & 0xFF);
    }
    if (!options.is_masked) {
        return out.append(payload);
    }
    constexpr std::string_view mask = "\x11\xF2\x7B\x84";
    out += mask;
    for (std::size_t i = 0; i < size; i++) {
        out += static_cast<char>(payload[i] ^ mask[i % 4]);
    }
    return out;
}

}  // namespace keystile
