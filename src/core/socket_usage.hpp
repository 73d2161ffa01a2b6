// What the turns on a WebSocket cost: the Responses interface of OpenAI, as
// Codex speaks it. Both directions are followed as they pass.
//
// A provider answers one response.create after another, in their order: the
// oldest that is not answered is the one that the next answer is for. An
// answer that ends twice, by an error and then as failed, is one. But an error
// may also be for another message, and the answer be yet to come, or go on:
// what it cost is then told late, or is in doubt.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "turn_request.hpp"
#include "usage_scan.hpp"
#include "websocket_frames.hpp"

namespace keystile {

// Whoever wants the messages themselves; in the order in which they pass.
class SocketTexts {
public:
    virtual void client_text(std::string_view text) noexcept = 0;

    // The message that has ended last goes up, and asks for a turn.
    virtual void asked(const TurnRequest &request) noexcept = 0;

    // The same of one that asks for none, or does not go up.
    virtual void not_asked() noexcept = 0;

    // `is_answer`: what the provider has said since an answer ended is part of
    // another, or of more of the same; and not only of how one ended.
    virtual void provider_text(std::string_view text) noexcept = 0;
    virtual void provider_end(bool is_answer) noexcept = 0;

protected:
    ~SocketTexts() = default;
};

class SocketUsage {
public:
    // Shows the text of all messages from here on. `texts` outlives this.
    void show(SocketTexts *texts) noexcept { texts_ = texts; }

    // A client's message that is not JSON to the letter is unreadable: for
    // decisions. Before its first bytes.
    void be_strict() noexcept { request_.be_strict(); }

    // Bytes from the client. Removes from `piece` what was read, and returns
    // the first response.create that ended in it; none when all was read.
    std::optional<TurnRequest> from_client(std::string_view &piece) noexcept;

    // The same, but returns every message, and takes none for a turn until
    // ask() says so: it or ask_nothing() is to be called for each. A binary
    // message, which is not looked into, is one that creates what cannot be
    // read.
    std::optional<TurnRequest> next_message(std::string_view &piece) noexcept;
    void ask(const TurnRequest &request) noexcept;
    void ask_nothing() noexcept;

    // What is known of the client's message that has not ended.
    const TurnRequest &asking() const noexcept { return request_.so_far(); }

    // Bytes from the provider. Removes from `piece` what was read, and
    // returns the usage of the first turn that ended in it, by its last event
    // or by an error; none when all was read. An error that is a refusal is
    // returned as soon as its last byte was read, and whatever it is for.
    std::optional<Usage> from_provider(std::string_view &piece) noexcept;

    // Whether the provider's message that has not ended may be a refusal: until
    // its type is known to be another.
    bool may_be_refusal() const noexcept {
        return provider_.is_in_text() && scan_.may_be_error();
    }

    // Turns that were asked for and have not ended.
    std::size_t waiting() const noexcept { return waiting_; }

    // Of the oldest of them, as far as it was seen; for when the socket
    // closes.
    Usage unfinished() const noexcept;

    // Whether an answer that no turn waits for may be under way, and have
    // cost something: of a turn that has ended by an error, or that nobody
    // asked for.
    bool in_doubt() const noexcept;

    // Requires that it is: whether nobody asked for it.
    bool doubted_is_unasked() const noexcept;

    // What came of an answer that an error had ended, and of which nothing more
    // came until the end of another, which was told last: once.
    std::optional<Usage> take_lapsed() noexcept;

    // The frames of each direction: whether they are broken, and where a
    // frame may be put in.
    const WebSocketFrames &client() const noexcept { return client_; }
    const WebSocketFrames &provider() const noexcept { return provider_; }

private:
    // Bytes that are unmasked at once.
    static constexpr std::size_t kRoom = 1024;

    std::optional<Usage> answer() noexcept;
    std::optional<Usage> answer_again(Usage usage) noexcept;
    void add_doubted(Usage &usage) const noexcept;
    void take_text(std::string_view text) noexcept;
    bool end_text() noexcept;
    bool is_amid_new_answer() const noexcept;
    void skip_unwanted(std::string_view &piece) noexcept;

    SocketTexts *texts_ = nullptr;
    WebSocketFrames client_;
    WebSocketFrames provider_;
    TurnRequestReader request_;
    UsageScan scan_;
    std::uint64_t answered_ = 0;  // UsageScan::answer_id() of the last answer
    bool had_figures_ = false;    // of that answer
    bool was_asked_ = false;      // the same
    bool in_doubt_ = false;       // that answer, until another begins
    struct Doubted {
        std::uint64_t texts = 0;
        ModelName model;
    };
    Doubted doubted_;                // what came of it until its last error
    std::optional<Doubted> lapsed_;  // the same of one that was in doubt until
                                     // this one ended
    std::size_t excused_ = 0;  // turns that ended by an error before there
                               // was an answer, which may yet come
    std::size_t waiting_ = 0;
    std::uint64_t prewarms_ = 0;  // a bit for each that waits, the oldest
                                  // lowest; after 64, all count as turns
};

}  // namespace keystile
