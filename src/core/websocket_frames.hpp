// WebSocket frames (RFC 6455 section 5) of one direction, from pieces that
// end anywhere. Nothing of a message is held: its text goes on as it comes.
//
// Who has to mask is not checked here: each frame says whether it is, and is
// read so. Nor is text checked to be UTF-8.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace keystile {

struct FramePart {
    enum class Kind : std::uint8_t {
        text,           // more of a text message, unmasked
        end_of_text,    // of a message, its last fragment included
        end_of_binary,  // whose bytes were not shown
        close,          // a close frame; there is to be no message after it
    };

    Kind kind;
    std::string_view text;  // of the piece or of `room`, until the next call
};

class WebSocketFrames {
public:
    // Removes from `piece` what was read and returns the first part in it;
    // none when all was read. A part that ends something is returned as soon
    // as its last byte was read. Masked text is unmasked into `room`, as much
    // at once as there is room for; it is not empty, and its content is of no
    // interest between two calls.
    std::optional<FramePart> next(std::string_view &piece,
                                  std::span<char> room) noexcept;

    // The text of the message that `piece` begins with, if that is all there,
    // in one frame of less than 64 KB and not masked, and no other has begun;
    // null otherwise. Whoever has no use for it may pass over it.
    std::string_view whole_text(std::string_view piece) const noexcept;

    // Bytes came that are no frames, or not such as were agreed on: an RSV
    // bit without an extension, an unknown opcode, a control frame that is
    // fragmented or too long, fragments out of order, a length of 2^63 or
    // more. Nothing is read after them.
    bool is_broken() const noexcept { return state_ == State::broken; }

    // Where another frame may be put in: a control frame, or any.
    bool is_between_frames() const noexcept { return state_ == State::first; }
    bool is_between_messages() const noexcept {
        return is_between_frames() && message_ == 0;
    }

    // In a text message, of which the first byte was read at least.
    bool is_in_text() const noexcept { return message_ == kText; }

    // Bytes that were read of the message that has ended last or has not ended:
    // of its frames, and of control frames between them. Requires that it was
    // not passed over.
    std::uint64_t message_size() const noexcept { return message_size_; }

    // The last byte that was read is of a control frame.
    bool is_in_control_frame() const noexcept { return opcode_ >= kControl; }

    // The next byte may begin a control frame, or one may come before the
    // message ends.
    bool may_interleave() const noexcept {
        return is_between_frames() || !is_last_ || opcode_ >= kControl;
    }

    // Of the payload of the frame, bytes that are yet to come; 0 elsewhere.
    std::uint64_t payload_left() const noexcept {
        return state_ == State::payload ? left_ : 0;
    }

private:
    enum class State : std::uint8_t {
        first,
        second,
        length,
        mask,
        payload,
        broken,
    };

    void read_header(char byte) noexcept;
    void first_byte(std::uint8_t byte) noexcept;
    void second_byte(std::uint8_t byte) noexcept;
    void length_byte(std::uint8_t byte) noexcept;
    void begin_mask_or_payload() noexcept;
    std::optional<FramePart> read_payload(std::string_view &piece,
                                          std::span<char> room) noexcept;
    std::string_view unmask(std::string_view masked,
                            std::span<char> room) noexcept;
    std::optional<FramePart> end_frame() noexcept;

    static constexpr std::uint8_t kText = 1;     // an opcode
    static constexpr std::uint8_t kControl = 8;  // and those from here on

    std::uint64_t left_ = 0;          // bytes of the payload
    std::uint64_t message_size_ = 0;  // bytes so far
    std::array<char, 4> mask_{};      // the one for the next byte first
    State state_ = State::first;
    std::uint8_t header_left_ = 0;  // bytes of the length or the mask
    std::uint8_t opcode_ = 0;       // of the frame
    std::uint8_t message_ = 0;      // opcode of the message we are in, or 0
    bool is_last_ = false;          // fragment
    bool is_masked_ = false;
};

}  // namespace keystile
