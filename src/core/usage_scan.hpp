// What an answer of a model cost, out of the JSON that tells: of the OpenAI
// Responses and Chat Completions, Anthropic Messages and Gemini interfaces.
// Which of them it is shows by the names of the members.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "json_scan.hpp"
#include "model_name.hpp"

namespace keystile {

// In tokens, and the same whatever the provider: Anthropic's figures leave
// the cached input out of the input, Gemini's the thoughts out of the output.
// A sum that would be 2^64 or more is 2^64 - 1.
struct Usage {
    std::optional<std::uint64_t> input;          // all of it
    std::optional<std::uint64_t> cached;         // of it, read from a cache
    std::optional<std::uint64_t> cache_written;  // of it, put in a cache
    std::optional<std::uint64_t> output;         // all of it
    std::optional<std::uint64_t> reasoning;      // of it, not shown as answer
    ModelName model;                             // as the provider calls it
    bool mixed = false;      // some of it may be another model's
    bool complete = false;   // the provider said all that it has to say of it
    bool error = false;      // it is an error, or ends in one: there may be
                             // no usage
    bool broke_off = false;  // that error came amid an answer, or has one in
                             // it: models are asked, and paid, for those
    std::uint16_t error_status = 0;  // that an error on a socket gives: as of
                                     // HTTP; 0: none
    bool blames_credential = false;  // that error is about the credential, by
                                     // its name
    bool is_no_turn = false;  // no model was asked: tokens were counted,
                              // or an answer was called off
    bool late = false;     // of a turn that had ended, without figures, by an
                           // error; only set by SocketUsage
    bool unasked = false;  // of no turn; only set by SocketUsage
    std::uint64_t texts = 0;  // events, or messages of a socket, that came
    bool beside = false;   // of what was said, not of an answer; on a socket
    bool prewarm = false;  // asked for with "generate": false; never an HTTP
                           // reply, only set by SocketUsage

    // An error on a socket that refuses the credential, or what it may do: as
    // a 401 or a 403 would.
    bool is_refusal() const noexcept {
        return blames_credential || error_status == 401 || error_status == 403;
    }
};

// Reads the events of a stream, the messages of a socket or the body of a
// reply: JSON texts, one after another. Figures of a later one replace those
// of an earlier one, since providers repeat and correct them.
class UsageScan {
public:
    UsageScan() noexcept;

    // More of a text. Once its type is known to be of no interest, the rest
    // of it is not looked at.
    void take(std::string_view piece) noexcept;

    // Whether a text that begins so, of which nothing was taken, is of no
    // interest: it need not be shown then.
    static bool is_unwanted(std::string_view beginning) noexcept;

    // Counts one that is_unwanted() has told.
    void pass_over() noexcept { texts_++; }

    // The text ended. True if it ends an answer: it is the last event of one,
    // or an error.
    bool end_text() noexcept;

    // Whether the text so far is a whole document.
    bool is_whole() const noexcept { return scan_.is_closed(); }

    // Whether the text may yet turn out to be an error, or to end in one, as far
    // as is known: one whose type is another is none.
    bool may_be_error() const noexcept {
        return event_ == Event::error || event_ == Event::failed || !has_type_;
    }

    // Whether that document says that the answer is still being made.
    bool is_pending() const noexcept { return is_pending_; }

    // Whether the figures are of the kind that each part of an answer repeats,
    // so that none of them shows that it is the last (Gemini).
    bool repeats_figures() const noexcept { return has(kGeminiPrompt); }

    // Tells the answers of a socket apart: of the id that the provider gave
    // to this one, or 0.
    std::uint64_t answer_id() const noexcept { return id_; }

    // Whether an answer has begun, or the text so far is a part of one.
    bool is_amid_answer() const noexcept {
        return id_ != 0 || event_ == Event::unwanted;
    }

    // Events that an answer begins with, before anything of it is there: of the
    // Responses interface, in which they are the most.
    static constexpr std::uint64_t kBeginning = 4;

    // To be called where the transport shows that an answer is complete.
    void set_complete() noexcept { is_complete_ = true; }

    Usage usage() const noexcept;

    // Forgets all figures; between two answers on a socket.
    void start_answer() noexcept;

    // The same of figures alone: of a text that was_beside(), while an answer
    // may be under way.
    void forget_figures() noexcept;

    // Whether the text that has ended last is of no answer.
    bool was_beside() const noexcept { return was_beside_; }

private:
    // As providers count. Those from kCounters on are numbers.
    enum Field : std::uint8_t {
        kNone,
        kType,
        kStatus,
        kStatusCode,
        kModel,
        kError,
        kErrorName,
        kErrorMessage,
        kErrorAnswer,
        kName,
        kObject,
        kAnswerStatus,
        kBatchStatus,
        kRequestId,
        kId,
        kIterations,
        kIterationInput,
        kIterationOutput,
        kCounters,
        kInput = kCounters,  // Responses and Messages
        kOutput,
        kPrompt,      // Chat Completions
        kCompletion,  // xAI: the reasoning is beside it, as the total shows
        kTotal,
        kCached,        // OpenAI: part of the input
        kCacheWritten,  // the same
        kReasoning,     // OpenAI: part of the output
        kCacheRead,     // Anthropic: beside the input, not the prompt
        kCacheCreated,  // the same
        kGeminiPrompt,
        kGeminiToolPrompt,  // beside the prompt
        kGeminiCached,      // part of the prompt
        kGeminiOutput,
        kGeminiThoughts,  // beside the output
        kTokenCount,      // Messages' count_tokens, Gemini's countTokens
        kFields
    };

    enum class Event : std::uint8_t {
        other,
        unwanted,
        figures,  // the last ones of an answer
        last,
        failed,  // the last, and an error
        beside,  // has figures of its own, and is of no answer
        error,
    };

    using Count = std::optional<std::uint64_t>;
    struct Members;  // the JSON shapes

    static Event event_of(std::string_view type) noexcept;
    static Count sum(Count a, Count b) noexcept;
    static void add(std::uint64_t &sum, std::uint64_t count) noexcept;
    static std::uint64_t hash(std::string_view id) noexcept;
    void take_value(const JsonValue &value) noexcept;
    void take_error(const JsonValue &value) noexcept;
    void take_resource(const JsonValue &value) noexcept;
    void take_count(const JsonValue &value) noexcept;
    void take_status(const JsonValue &value) noexcept;
    void blame(bool is_known) noexcept;
    void close_text() noexcept;
    bool has_begun() const noexcept;
    void take_status_text(std::string_view text) noexcept;
    bool is_deferred() const noexcept;
    bool has(Field field) const noexcept;
    Count count(Field field) const noexcept;

    JsonScan scan_;
    std::array<std::uint64_t, kFields - kCounters> counts_{};
    std::uint32_t seen_ = 0;  // a bit for each of counts_
    struct {
        std::uint64_t input = 0;  // with what was cached
        std::uint64_t output = 0;
    } iterations_;  // the sums of all of an answer
    std::uint64_t texts_ = 0;
    std::uint64_t id_ = 0;
    ModelName model_;
    std::uint16_t status_ = 0;    // of the answer, should it be an error
    Event event_ = Event::other;  // what the text is
    bool has_type_ = false;
    bool blames_credential_ = false;
    bool is_pending_ = false;
    bool is_complete_ = false;
    bool is_error_ = false;
    bool broke_off_ = false;
    bool has_answer_ = false;      // in an error
    bool has_failed_ = false;      // the answer that the text wraps
    bool is_response_ = false;     // it says that it is one, of Responses
    bool is_batch_ = false;        // it says that one was made
    bool is_cancelled_ = false;    // and that it is no more
    bool has_request_id_ = false;  // by which an answer is fetched (xAI)
    bool ends_answer_ = false;     // the text does
    bool was_beside_ = false;      // that text was
};

}  // namespace keystile
