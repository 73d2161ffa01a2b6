#include "usage_scan.hpp"

#include "ascii.hpp"
#include "provider_refusal.hpp"

namespace keystile {
namespace {

// Gemini's: a batch, or a video that is being made.
bool is_operation(std::string_view name) noexcept {
    return name.starts_with("batches/") ||
           (name.starts_with("models/") &&
            name.find("/operations/") != name.npos);
}

}  // namespace

struct UsageScan::Members {
    // input_tokens_details, prompt_tokens_details; of the Realtime interface,
    // input_token_details
    static constexpr std::array<JsonMember, 2> kInputDetailMembers{{
        {"cached_tokens", kCached},
        {"cache_write_tokens", kCacheWritten},
    }};
    static constexpr JsonShape kInputDetails{kInputDetailMembers};

    // output_tokens_details, completion_tokens_details, output_token_details
    static constexpr std::array<JsonMember, 1> kOutputDetailMembers{{
        {"reasoning_tokens", kReasoning},
    }};
    static constexpr JsonShape kOutputDetails{kOutputDetailMembers};

    // What Anthropic's figures leave out is only there: what a compaction took,
    // and a tool that asks another model.
    static constexpr std::array<JsonMember, 4> kIterationMembers{{
        {"input_tokens", kIterationInput},
        {"cache_read_input_tokens", kIterationInput},
        {"cache_creation_input_tokens", kIterationInput},
        {"output_tokens", kIterationOutput},
    }};
    static constexpr JsonShape kIteration{kIterationMembers};

    static constexpr std::array<JsonMember, 14> kUsageMembers{{
        {"input_tokens", kInput},
        {"output_tokens", kOutput},
        {"prompt_tokens", kPrompt},
        {"completion_tokens", kCompletion},
        {"total_tokens", kTotal},
        {"cache_read_input_tokens", kCacheRead},
        {"cache_creation_input_tokens", kCacheCreated},
        {"input_tokens_details", kNone, &kInputDetails},
        {"prompt_tokens_details", kNone, &kInputDetails},
        {"output_tokens_details", kNone, &kOutputDetails},
        {"completion_tokens_details", kNone, &kOutputDetails},
        {"input_token_details", kNone, &kInputDetails},
        {"output_token_details", kNone, &kOutputDetails},
        {"iterations", kIterations, nullptr, &kIteration},
    }};
    static constexpr JsonShape kUsage{kUsageMembers};

    static constexpr std::array<JsonMember, 5> kGeminiMembers{{
        {"promptTokenCount", kGeminiPrompt},
        {"toolUsePromptTokenCount", kGeminiToolPrompt},
        {"cachedContentTokenCount", kGeminiCached},
        {"candidatesTokenCount", kGeminiOutput},
        {"thoughtsTokenCount", kGeminiThoughts},
    }};
    static constexpr JsonShape kGemini{kGeminiMembers};

    static constexpr std::array<JsonMember, 5> kErrorMembers{{
        {"type", kErrorName},
        {"code", kErrorName},
        {"status", kErrorName},
        {"message", kErrorMessage},
        {"failed_generation", kErrorAnswer},  // Groq's, of no valid JSON
    }};
    static constexpr JsonShape kErrorShape{kErrorMembers};

    // What an event wraps: "response" of OpenAI's, and of Gemini's where it
    // serves its own command line, "message" of Anthropic's, "x_groq".
    static constexpr std::array<JsonMember, 7> kWrappedMembers{{
        {"id", kId},
        {"status", kAnswerStatus},
        {"model", kModel},
        {"modelVersion", kModel},
        {"usage", kNone, &kUsage},
        {"usageMetadata", kNone, &kGemini},
        {"error", kNone, &kErrorShape},
    }};
    static constexpr JsonShape kWrapped{kWrappedMembers};

    static constexpr std::array<JsonMember, 18> kTextMembers{{
        {"type", kType},
        {"object", kObject},
        {"name", kName},
        {"processing_status", kBatchStatus},
        {"request_id", kRequestId},
        {"code", kErrorName},
        {"status", kStatus},
        {"status_code", kStatusCode},
        {"error", kError, &kErrorShape},
        {"model", kModel},
        {"modelVersion", kModel},
        {"usage", kNone, &kUsage},
        {"usageMetadata", kNone, &kGemini},
        {"response", kNone, &kWrapped},
        {"message", kErrorMessage, &kWrapped},
        {"x_groq", kNone, &kWrapped},
        {"input_tokens", kTokenCount},
        {"totalTokens", kTokenCount},
    }};
    static constexpr JsonShape kText{kTextMembers};
};

UsageScan::UsageScan() noexcept : scan_{Members::kText} {}

void UsageScan::take(std::string_view piece) noexcept {
    if (event_ == Event::unwanted || scan_.is_closed()) {
        return;
    }
    while (auto value = scan_.next(piece)) {
        take_value(*value);
        if (event_ == Event::unwanted) {
            return;
        }
    }
    if (scan_.is_closed()) {
        close_text();
    }
}

// Two letters tell: event_of() wants no other types of OpenAI's.
bool UsageScan::is_unwanted(std::string_view beginning) noexcept {
    constexpr std::string_view responses = "{\"type\":\"response.";
    constexpr std::string_view messages = "{\"type\":\"content_block_";
    if (!beginning.starts_with(responses)) {
        return beginning.starts_with(messages);
    }
    beginning.remove_prefix(responses.size());
    if (beginning.size() < 2 || !is_alpha(beginning[0]) ||
        !is_alpha(beginning[1])) {
        return false;
    }
    switch (beginning[0] << 8 | beginning[1]) {
    case 'c' << 8 | 'o':  // completed
    case 'c' << 8 | 'r':  // created
    case 'd' << 8 | 'o':  // done
    case 'e' << 8 | 'r':  // error
    case 'f' << 8 | 'a':  // failed
    case 'i' << 8 | 'n':  // incomplete
        return false;
    default:
        return true;
    }
}

bool UsageScan::end_text() noexcept {
    bool ends_answer = ends_answer_;
    texts_++;
    scan_.start();
    event_ = Event::other;
    has_type_ = false;
    if (!is_error_) {
        blames_credential_ = false;
        status_ = 0;
    }
    is_pending_ = false;
    has_failed_ = false;
    ends_answer_ = false;
    return ends_answer;
}

// Of the many events only few tell anything: the others, which can be large,
// are known by their type, their first member as a rule.
UsageScan::Event UsageScan::event_of(std::string_view type) noexcept {
    constexpr std::string_view responses = "response.";
    constexpr std::string_view transcribed =
        "conversation.item.input_audio_transcription.completed";
    if (type.starts_with(responses)) {
        type.remove_prefix(responses.size());
        bool is_last = type == "completed" || type == "incomplete" ||
                       type == "done";  // of the Realtime interface
        return is_last             ? Event::last
               : type == "failed"  ? Event::failed
               : type == "error"   ? Event::error
               : type == "created" ? Event::other
                                   : Event::unwanted;
    }
    return type.starts_with("content_block_") ? Event::unwanted
           : type == "message_delta"          ? Event::figures
           : type == "message_stop"           ? Event::last
           : type == "error"                  ? Event::error
           : type == transcribed              ? Event::beside
                                              : Event::other;
}

void UsageScan::take_value(const JsonValue &value) noexcept {
    switch (value.field) {
    case kType:
        event_ = event_ == Event::error ? event_ : event_of(value.text);
        is_batch_ = is_batch_ || value.text == "message_batch";
        has_type_ = true;
        break;
    case kStatus:
        take_status_text(value.text);
        [[fallthrough]];
    case kStatusCode:
        take_status(value);
        break;
    case kModel:
        if (value.kind == JsonKind::text) {
            model_.set(value.text);
        }
        break;
    case kError:
    case kErrorName:
    case kErrorMessage:
    case kErrorAnswer:
        take_error(value);
        break;
    case kObject:
    case kName:
    case kBatchStatus:
    case kRequestId:
        take_resource(value);
        break;
    case kAnswerStatus:
        has_failed_ = value.text == "failed";
        break;
    case kIterations:
        iterations_ = {};
        break;
    case kIterationInput:
        add(iterations_.input, value.count);
        break;
    case kIterationOutput:
        add(iterations_.output, value.count);
        break;
    case kId:
        texts_ = id_ == 0 ? 0 : texts_;  // what came before is none of it
        id_ = hash(value.text);
        break;
    default:
        take_count(value);
        break;
    }
}

void UsageScan::take_error(const JsonValue &value) noexcept {
    bool is_text =
        value.kind == JsonKind::text || value.kind == JsonKind::long_text;
    switch (value.field) {
    case kError:
        if (value.kind == JsonKind::object || is_text) {
            event_ = Event::error;
            blame(is_text_of_bad_credential(value.text));
        }
        break;
    case kErrorName:
        if (value.count >= 400) {
            take_status(value);  // others count by numbers of their own
        }
        blame(is_name_of_bad_credential(value.text));
        break;
    case kErrorMessage:
        blame(is_message_of_bad_credential(value.text));
        break;
    default:
        has_answer_ = has_answer_ || is_text;
        break;
    }
}

// Of what is there to be asked for later: a batch, or an answer.
void UsageScan::take_resource(const JsonValue &value) noexcept {
    switch (value.field) {
    case kObject:
        is_batch_ = is_batch_ || value.text == "batch";
        is_response_ = is_response_ || value.text == "response";
        break;
    case kName:
        is_batch_ = is_batch_ || is_operation(value.text);
        break;
    case kBatchStatus:
        take_status_text(value.text);
        break;
    default:
        has_request_id_ = value.kind == JsonKind::text;
        break;
    }
}

// Of an answer, or of a batch.
void UsageScan::take_status_text(std::string_view text) noexcept {
    constexpr std::string_view cancel = "cancel";
    is_pending_ = text == "queued" || text == "in_progress";
    is_cancelled_ =
        is_cancelled_ ||
        equals_ignoring_case(text.substr(0, cancel.size()), cancel);
}

void UsageScan::take_status(const JsonValue &value) noexcept {
    if (value.kind == JsonKind::count && value.count < 1000) {
        status_ = static_cast<std::uint16_t>(value.count);
    }
}

void UsageScan::blame(bool is_known) noexcept {
    blames_credential_ = blames_credential_ || is_known;
}

// FNV-1a; ids are chosen by the provider, to be different.
std::uint64_t UsageScan::hash(std::string_view id) noexcept {
    std::uint64_t hash = 0xCBF29CE484222325;
    for (char c : id) {
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    }
    return hash;
}

// What is no count is as if it had not been there; null says nothing new.
void UsageScan::take_count(const JsonValue &value) noexcept {
    auto index = static_cast<unsigned>(value.field - kCounters);
    if (value.kind == JsonKind::count) {
        counts_[index] = value.count;
        seen_ |= 1U << index;
    } else if (value.kind != JsonKind::null) {
        seen_ &= ~(1U << index);
    }
}

// A document counts from where it closes: the blank line that ends an event
// may never come, as clients leave at the last event.
void UsageScan::close_text() noexcept {
    if (event_ == Event::last && has_failed_) {
        event_ = Event::failed;
    }
    // The last figures of a Messages stream, and the only ones of a chat.
    bool has_last_figures =
        (event_ == Event::figures && has(kOutput)) || has(kPrompt);
    bool is_last = event_ == Event::last || event_ == Event::failed;
    is_complete_ = is_complete_ || is_last || has_last_figures;
    // "response.failed" may follow, which says what there is to say.
    broke_off_ = event_ != Event::failed &&
                 (broke_off_ || (event_ == Event::error && has_begun()));
    is_error_ = is_error_ || event_ == Event::failed || event_ == Event::error;
    was_beside_ = event_ == Event::beside;
    ends_answer_ = is_last || was_beside_ || event_ == Event::error;
}

// Whether a model is asked, but its answer is no part of this: it is that to a
// batch, or is fetched by its id. To cancel a batch asks for none.
bool UsageScan::is_deferred() const noexcept {
    bool is_lone_id = has_request_id_ && !has_type_ && seen_ == 0 &&
                      !is_error_ && model_.view().empty();
    return (is_batch_ && !is_cancelled_) || is_lone_id;
}

// Whether there was more of an answer before this text than how it begins.
bool UsageScan::has_begun() const noexcept { return texts_ > kBeginning; }

bool UsageScan::has(Field field) const noexcept {
    return (seen_ >> (field - kCounters) & 1) != 0;
}

void UsageScan::forget_figures() noexcept {
    seen_ = 0;
    iterations_ = {};
}

void UsageScan::start_answer() noexcept {
    forget_figures();
    texts_ = 0;
    id_ = 0;
    model_ = {};
    status_ = 0;
    is_complete_ = false;
    is_error_ = false;
    broke_off_ = false;
    has_answer_ = false;
    is_batch_ = is_response_ = is_cancelled_ = has_request_id_ = false;
    blames_credential_ = false;
}

}  // namespace keystile
