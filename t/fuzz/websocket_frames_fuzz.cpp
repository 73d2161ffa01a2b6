// Any bytes as WebSocket frames: the messages are those that are read from
// the whole, however they are cut, and nothing is read after what is broken.

#include "websocket_frames.hpp"

#include <optional>
#include <string>

#include "check.hpp"
#include "pieces.hpp"

namespace keystile {
namespace {

std::string read_in_pieces(std::string_view bytes, std::size_t longest,
                           std::size_t room_size) {
    WebSocketFrames frames;
    std::array<char, 64> room;
    std::string messages;
    std::string text;
    in_pieces(bytes, longest, [&](std::string_view piece) {
        while (auto part =
                   frames.next(piece, std::span{room}.first(room_size))) {
            check(!frames.is_broken(), "nothing is read after an error");
            if (part->kind == FramePart::Kind::text) {
                text += part->text;
            } else if (part->kind == FramePart::Kind::end_of_text) {
                messages += "text:" + text + "\n";
                text.clear();
                check(frames.is_between_messages(), "a message ends whole");
            } else {
                bool closes = part->kind == FramePart::Kind::close;
                messages += closes ? "close\n" : "binary\n";
            }
        }
        check(piece.empty(), "all of a piece is read");
    });
    return messages + (frames.is_broken() ? "broken" : "");
}

// RFC 6455 section 5.2, of a frame that is there as a whole.
struct Frame {
    unsigned opcode = 0;
    bool is_last = false;
    bool is_valid = false;
    std::string payload;
};

// The length of the payload, or none if it is not there. Takes it away.
std::optional<std::uint64_t> take_length(std::string_view &bytes) {
    unsigned size = static_cast<unsigned char>(bytes[1]) & 0x7F;
    std::size_t more = size == 127 ? 8 : size == 126 ? 2 : 0;
    if (bytes.size() < 2 + more) {
        return std::nullopt;
    }
    std::uint64_t length = more == 0 ? size : 0;
    for (std::size_t i = 0; i < more; i++) {
        length = length * 256 + static_cast<unsigned char>(bytes[2 + i]);
    }
    bytes.remove_prefix(2 + more);
    return length;
}

std::optional<Frame> take_frame(std::string_view &bytes) {
    if (bytes.empty()) {
        return std::nullopt;
    }
    auto first = static_cast<unsigned char>(bytes[0]);
    Frame frame{first & 0xFU, first >= 0x80, (first & 0x70) == 0, {}};
    bool is_control = frame.opcode >= 8;
    frame.is_valid = frame.is_valid && frame.opcode <= 10 &&
                     (frame.opcode <= 2 || is_control) &&
                     (!is_control || frame.is_last);
    if (!frame.is_valid || bytes.size() < 2) {
        return frame.is_valid ? std::nullopt : std::optional{frame};
    }
    auto second = static_cast<unsigned char>(bytes[1]);
    if (is_control && (second & 0x7F) > 125) {
        frame.is_valid = false;
        return frame;
    }
    auto length = take_length(bytes);
    if (!length) {
        return std::nullopt;
    }
    if (*length >> 63 != 0) {
        frame.is_valid = false;
        return frame;
    }
    std::size_t mask_size = second >= 0x80 ? 4 : 0;
    if (bytes.size() < mask_size || bytes.size() - mask_size < *length) {
        return std::nullopt;
    }
    auto mask = bytes.substr(0, mask_size);
    bytes.remove_prefix(mask_size);
    for (std::size_t i = 0; i < *length; i++) {
        frame.payload += static_cast<char>(
            mask.empty() ? bytes[i] : bytes[i] ^ mask[i % 4]);
    }
    bytes.remove_prefix(*length);
    return frame;
}

// Sequences of frames, section 5.4. A frame that is out of order shows by its
// first byte, before the rest of it is there.
std::string read_whole(std::string_view bytes) {
    std::string messages;
    std::string text;
    unsigned message = 0;
    while (!bytes.empty()) {
        unsigned opcode = static_cast<unsigned char>(bytes[0]) & 0xF;
        bool in_order = opcode >= 8 || (opcode == 0) == (message != 0);
        if (!in_order) {
            return messages + "broken";
        }
        auto frame = take_frame(bytes);
        if (!frame) {
            break;
        }
        if (!frame->is_valid) {
            return messages + "broken";
        }
        if (opcode >= 8) {
            messages += opcode == 8 ? "close\n" : "";
            continue;
        }
        message = opcode != 0 ? opcode : message;
        text += frame->payload;
        if (frame->is_last) {
            messages += message == 1 ? "text:" + text + "\n" : "binary\n";
            text.clear();
            message = 0;
        }
    }
    return messages;
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    auto text = text_of(bytes, size);
    auto messages = keystile::read_whole(text);
    for (std::size_t longest : {size + 1, std::size_t{1}, std::size_t{2},
                                std::size_t{7}, std::size_t{50}}) {
        for (std::size_t room : {1U, 13U, 64U}) {
            check(keystile::read_in_pieces(text, longest, room) == messages,
                  "the messages are those of the whole");
        }
    }
    return 0;
}
