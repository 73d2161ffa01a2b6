#include "reply_joiner.hpp"

#include "reply_join.hpp"

namespace keystile {
namespace {

ReplyForm form_of(std::string_view type, const json_t *event) noexcept {
    auto has = [event](const char *name) {
        return json_object_get(event, name) != nullptr;
    };
    if (type.starts_with("response.")) {
        return ReplyForm::responses;
    }
    if (type.starts_with("message_") || type.starts_with("content_block_")) {
        return ReplyForm::messages;
    }
    if (has("choices") ||
        text_member(event, "object").starts_with("chat.completion")) {
        return ReplyForm::chat;
    }
    const auto *wrapped = json_object_get(event, "response");
    bool is_gemini = has("candidates") || has("usageMetadata") ||
                     json_object_get(wrapped, "candidates") != nullptr;
    return is_gemini ? ReplyForm::gemini : ReplyForm::unknown;
}

std::unique_ptr<ReplyJoin> join_of(ReplyForm form) noexcept {
    switch (form) {
    case ReplyForm::responses:
        return join_responses();
    case ReplyForm::chat:
        return join_chat();
    case ReplyForm::messages:
        return join_messages();
    case ReplyForm::gemini:
        return join_gemini();
    case ReplyForm::unknown:
        break;
    }
    return nullptr;
}

int put_piece(const char *text, std::size_t size, void *sink) noexcept {
    static_cast<TextSink *>(sink)->put({text, size});
    return 0;
}

}  // namespace

ReplyJoiner::ReplyJoiner() noexcept = default;
ReplyJoiner::~ReplyJoiner() = default;

void ReplyJoiner::take(std::string_view text) noexcept {
    Json event{parse_event(text)};
    if (!event) {
        failed_ = true;
        return;
    }
    if (json_is_array(event.get())) {  // Gemini, without "alt=sse"
        for (std::size_t i = 0; i < json_array_size(event.get()); i++) {
            take_event(json_array_get(event.get(), i));
        }
        return;
    }
    take_event(event.get());
}

void ReplyJoiner::take_event(json_t *event) noexcept {
    auto type = text_member(event, "type");
    auto *error = json_object_get(event, "error");
    bool has_error = json_is_object(error) || json_is_string(error);
    if (type == "error" || has_error) {
        error_.reset(json_incref(has_error ? error : event));
        auto status = number_member(event, "status",
                                    number_member(event, "status_code"));
        error_status_ = status > 0 && status < 1000
                            ? static_cast<unsigned>(status)
                            : error_status_;
        return;
    }
    if (!join_) {
        form_ = form_of(type, event);
        join_ = join_of(form_);
    }
    bool is_other = form_ == ReplyForm::responses &&
                    !type.starts_with("response.");  // "codex.rate_limits"
    if (join_ && !is_other && !join_->take(type, event)) {
        failed_ = true;
    }
}

bool ReplyJoiner::is_whole(bool ended) const noexcept {
    return join_ && !error_ && (is_done_ || join_->is_whole(ended));
}

bool ReplyJoiner::put(TextSink &sink, bool partial) noexcept {
    if (!join_ && !error_) {
        return false;
    }
    Json reply{join_ ? join_->end().release() : json_object()};
    Json whole{partial ? json_pack("{sb}", "partial", 1) : json_object()};
    if (json_object_update(whole.get(), reply.get()) != 0 ||
        !share(whole.get(), "error", error_.get())) {
        return false;
    }
    return json_dump_callback(whole.get(), put_piece, &sink, JSON_COMPACT) ==
           0;
}

}  // namespace keystile
