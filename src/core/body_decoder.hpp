// A request body without its content codings (RFC 9110 section 8.4): gzip,
// x-gzip, deflate, zstd, identity, and stacks of them. From pieces that end
// anywhere.
//
// Memory, whatever the body says: 16 KB for each coding, and what its library
// needs: 40 KB for gzip and deflate; for zstd a little more than the window,
// which is 8 MB at most, as RFC 9659 has it.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace keystile {

class BodyDecoder {
public:
    // Codings that may be stacked.
    static constexpr std::size_t kMostCodings = 3;

    // Decodes to `most` bytes at most, in each layer; a body without a coding
    // is as large at most. Wherever it is, more than kHeadStart of it is not
    // over kMostTimes what was read by then: streams in which there is nothing,
    // as frames to be skipped, do not count as read.
    static constexpr std::uint64_t kHeadStart = 4 * 1024 * 1024;
    static constexpr std::uint64_t kMostTimes = 100;
    explicit BodyDecoder(std::uint64_t most) noexcept;
    ~BodyDecoder();
    BodyDecoder(const BodyDecoder &) = delete;
    BodyDecoder &operator=(const BodyDecoder &) = delete;

    // Adds the codings of a Content-Encoding line, in their order. False for
    // one that is not known, for too many, and when out of memory: the body
    // cannot be read then. Before the first piece.
    bool add(std::string_view content_encoding) noexcept;

    // No coding was added but identity: there is nothing to do.
    bool is_plain() const noexcept { return count_ == 0; }

    // Decodes `piece` and calls visit(decoded) for each part of what comes
    // out. Once that returns false, the rest of the body is not looked at.
    // False after an error, for good: the body is broken or too large.
    template <typename Visit>
    bool take(std::string_view piece, Visit visit) noexcept {
        return take(piece,
                    Visitor{&visit, [](void *to, std::string_view part) {
                                return (*static_cast<Visit *>(to))(part);
                            }});
    }

    // Whether the pieces were a whole body: every layer has come to its end,
    // and nothing follows it.
    bool is_complete() const noexcept;

    // Frees what the codings needed, as an error does, too. Nothing but
    // is_too_large() and unpacked() may be called then.
    void close() noexcept;

    // The bytes that came out of all codings together.
    std::uint64_t unpacked() const noexcept;

    // The error was that more came out than may.
    bool is_too_large() const noexcept { return state_ == State::too_large; }

private:
    enum class State : std::uint8_t { reading, left, broken, too_large };

    struct Visitor {
        void *to;
        bool (*visit)(void *to, std::string_view part);
    };

    class Layer;
    class Inflate;
    class Zstd;

    bool push(std::string_view coding) noexcept;
    bool take(std::string_view piece, const Visitor &visitor) noexcept;
    bool decode(std::size_t level, std::string_view piece,
                const Visitor &visitor) noexcept;
    bool yield(std::size_t level, std::string_view part,
               const Visitor &visitor) noexcept;
    bool is_blown_up(std::size_t level) const noexcept;
    bool stop(State state) noexcept;

    // As they were applied: the last is the outermost.
    std::array<std::unique_ptr<Layer>, kMostCodings> layers_;
    std::array<std::uint64_t, kMostCodings> left_;  // that each may yield
    std::uint64_t most_;
    std::size_t count_ = 0;
    State state_ = State::reading;
};

}  // namespace keystile
