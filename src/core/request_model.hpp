// What an HTTP request asks of a model, out of its body.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "body_decoder.hpp"
#include "turn_request.hpp"

namespace keystile {

// Reads the whole body, without its content codings: for decisions. In fixed
// memory, apart from what BodyDecoder needs.
class RequestModel {
public:
    // The text of the body may have `most` bytes.
    explicit RequestModel(std::uint64_t most) noexcept : decoder_{most} {
        reader_.be_strict();
    }

    // A Content-Encoding line, of which there may be several, in their order.
    // False if it cannot be undone: the body is unreadable then.
    bool add_encoding(std::string_view value) noexcept {
        return decoder_.add(value);
    }

    // More of the body. False once it is known to be unreadable.
    bool take(std::string_view piece) noexcept;

    // The body ended: what it asks. It is unreadable unless it could be
    // decoded to its end, and is JSON to the letter. Once: it also frees what the
    // codings needed.
    TurnRequest end() noexcept;

    // It is unreadable since its text is too large.
    bool is_too_large() const noexcept { return decoder_.is_too_large(); }

    // The bytes that came out of its codings.
    std::uint64_t unpacked() const noexcept { return decoder_.unpacked(); }

private:
    BodyDecoder decoder_;
    TurnRequestReader reader_;
};

// How much of a body peek_model() looks at.
inline constexpr std::size_t kPeek = 1024;

// The first model that a body names in its first kPeek bytes, of which
// `beginning` may be a part: `named` or `missing`. For labels and never for
// decisions: the same body may name another, and one with a coding names none.
TurnRequest peek_model(std::string_view beginning) noexcept;

}  // namespace keystile
