// The events of a streamed reply put together to the reply that the provider
// would have given without a stream: of the OpenAI Responses and Chat
// Completions, Anthropic Messages and Gemini interfaces. Which of them it is
// shows by the first event.
//
// For what is done beside the traffic: events are parsed whole, on the heap.

#pragma once

#include <jansson.h>

#include <cstdint>
#include <memory>
#include <string_view>

#include "json_element.hpp"
#include "text_sink.hpp"

namespace keystile {

enum class ReplyForm : std::uint8_t {
    unknown,
    responses,
    chat,
    messages,
    gemini,
};

class ReplyJoin;

class ReplyJoiner {
public:
    ReplyJoiner() noexcept;
    ~ReplyJoiner();
    ReplyJoiner(const ReplyJoiner &) = delete;
    ReplyJoiner &operator=(const ReplyJoiner &) = delete;

    // The JSON text of the next event.
    void take(std::string_view text) noexcept;

    // "data: [DONE]".
    void take_done() noexcept { is_done_ = true; }

    ReplyForm form() const noexcept { return form_; }

    // The last event was there. Where `ended`, the transport says that the
    // reply came to its end: Gemini's streams have no other.
    bool is_whole(bool ended) const noexcept;

    // Some event was no JSON, or there was no memory.
    bool has_failed() const noexcept { return failed_; }

    // The reply, with "partial":true first where it is not whole. False when
    // nothing is known of it.
    bool put(TextSink &sink, bool partial) noexcept;

    // The status that an error on a socket has; 0: there was none.
    unsigned error_status() const noexcept { return error_status_; }

private:
    void take_event(json_t *event) noexcept;

    std::unique_ptr<ReplyJoin> join_;
    Json error_;
    ReplyForm form_ = ReplyForm::unknown;
    bool is_done_ = false;
    bool failed_ = false;
    unsigned error_status_ = 0;
};

}  // namespace keystile
