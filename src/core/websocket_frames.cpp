#include "websocket_frames.hpp"

#include <algorithm>
#include <cstring>

namespace keystile {
namespace {

constexpr std::uint8_t kContinuation = 0;
constexpr std::uint8_t kBinary = 2;
constexpr std::uint8_t kClose = 8;
constexpr std::uint8_t kPong = 10;

bool is_control(std::uint8_t opcode) noexcept { return opcode >= kClose; }

}  // namespace

std::optional<FramePart> WebSocketFrames::next(std::string_view &piece,
                                               std::span<char> room) noexcept {
    for (;;) {
        if (state_ == State::payload && left_ == 0) {
            if (auto part = end_frame()) {
                return part;
            }
        } else if (piece.empty()) {
            return std::nullopt;
        } else if (state_ == State::payload) {
            if (auto part = read_payload(piece, room)) {
                return part;
            }
        } else if (state_ == State::broken) {
            piece = {};
        } else {
            message_size_++;
            read_header(piece.front());
            piece.remove_prefix(1);
        }
    }
}

std::string_view WebSocketFrames::whole_text(
    std::string_view piece) const noexcept {
    constexpr char last_text = '\x81';
    if (!is_between_messages() || piece.size() < 4 || piece[0] != last_text) {
        return {};
    }
    auto at = [piece](std::size_t i) {
        return static_cast<std::uint8_t>(piece[i]);
    };
    std::size_t header = 2;
    std::size_t length = at(1);
    if (length == 126) {
        header = 4;
        length = static_cast<std::size_t>(at(2) << 8 | at(3));
    } else if (length > 126) {
        return {};  // or it is masked
    }
    return length <= piece.size() - header ? piece.substr(header, length)
                                           : std::string_view{};
}

void WebSocketFrames::read_header(char byte) noexcept {
    switch (state_) {
    case State::first:
        first_byte(static_cast<std::uint8_t>(byte));
        break;
    case State::second:
        second_byte(static_cast<std::uint8_t>(byte));
        break;
    case State::length:
        length_byte(static_cast<std::uint8_t>(byte));
        break;
    default:
        mask_[mask_.size() - header_left_] = byte;
        header_left_--;
        state_ = header_left_ == 0 ? State::payload : State::mask;
        break;
    }
}

void WebSocketFrames::first_byte(std::uint8_t byte) noexcept {
    bool has_rsv = (byte & 0x70) != 0;
    is_last_ = (byte & 0x80) != 0;
    opcode_ = byte & 0x0F;
    bool in_order = false;
    if (is_control(opcode_)) {
        in_order = is_last_ && opcode_ <= kPong;
    } else if (opcode_ == kContinuation) {
        in_order = message_ != 0;
    } else if (opcode_ <= kBinary) {
        in_order = message_ == 0;
        message_ = opcode_;
        message_size_ = 1;
    }
    state_ = in_order && !has_rsv ? State::second : State::broken;
}

void WebSocketFrames::second_byte(std::uint8_t byte) noexcept {
    is_masked_ = (byte & 0x80) != 0;
    std::uint8_t length = byte & 0x7F;
    if (length > 125 && is_control(opcode_)) {
        state_ = State::broken;
    } else if (length > 125) {
        header_left_ = length == 126 ? 2 : 8;
        left_ = 0;
        state_ = State::length;
    } else {
        left_ = length;
        begin_mask_or_payload();
    }
}

void WebSocketFrames::length_byte(std::uint8_t byte) noexcept {
    left_ = left_ << 8 | byte;
    header_left_--;
    if (header_left_ != 0) {
        return;
    }
    if (left_ >> 63 != 0) {
        state_ = State::broken;
    } else {
        begin_mask_or_payload();
    }
}

void WebSocketFrames::begin_mask_or_payload() noexcept {
    header_left_ = 4;
    state_ = is_masked_ ? State::mask : State::payload;
}

std::optional<FramePart> WebSocketFrames::read_payload(
    std::string_view &piece, std::span<char> room) noexcept {
    auto payload =
        piece.substr(0, std::min<std::uint64_t>(left_, piece.size()));
    bool is_text = message_ == kText && !is_control(opcode_);
    if (is_text && is_masked_) {
        payload = payload.substr(0, room.size());
    }
    left_ -= payload.size();
    message_size_ += payload.size();
    piece.remove_prefix(payload.size());
    if (!is_text) {
        return std::nullopt;
    }
    return FramePart{FramePart::Kind::text,
                     is_masked_ ? unmask(payload, room) : payload};
}

// RFC 6455 section 5.3, eight bytes at a time.
std::string_view WebSocketFrames::unmask(std::string_view masked,
                                         std::span<char> room) noexcept {
    std::array<char, 8> twice;
    std::copy(mask_.begin(), mask_.end(), twice.begin());
    std::copy(mask_.begin(), mask_.end(), twice.begin() + 4);
    std::uint64_t pattern;
    std::memcpy(&pattern, twice.data(), sizeof(pattern));

    std::size_t at = 0;
    for (; at + sizeof(pattern) <= masked.size(); at += sizeof(pattern)) {
        std::uint64_t word;
        std::memcpy(&word, masked.data() + at, sizeof(word));
        word ^= pattern;
        std::memcpy(room.data() + at, &word, sizeof(word));
    }
    for (; at < masked.size(); at++) {
        room[at] = static_cast<char>(masked[at] ^ mask_[at % 4]);
    }
    for (std::size_t i = 0; i < mask_.size(); i++) {
        mask_[i] = twice[at % 4 + i];
    }
    return {room.data(), at};
}

std::optional<FramePart> WebSocketFrames::end_frame() noexcept {
    state_ = State::first;
    if (opcode_ == kClose) {
        return FramePart{FramePart::Kind::close, {}};
    }
    if (is_control(opcode_) || !is_last_) {
        return std::nullopt;
    }
    bool is_text = message_ == kText;
    message_ = 0;
    return FramePart{is_text ? FramePart::Kind::end_of_text
                             : FramePart::Kind::end_of_binary,
                     {}};
}

}  // namespace keystile
