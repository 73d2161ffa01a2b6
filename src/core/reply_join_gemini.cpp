// The Gemini interface: replies that each have some parts of the candidates
// more. Parts that are only text go on in one another.

#include <new>

#include "reply_join.hpp"

namespace keystile {
namespace {

class GeminiJoin final : public ReplyJoin {
public:
    bool take(std::string_view, json_t *event) noexcept override;
    bool is_whole(bool ended) const noexcept override;
    Json end() noexcept override;

private:
    bool take_candidate(const json_t *candidate) noexcept;
    bool take_content(json_int_t index, json_t *candidate,
                      const json_t *content) noexcept;
    bool take_part(json_int_t index, json_t *parts, json_t *part) noexcept;

    Json reply_{json_object()};
    TextPieces pieces_;  // by candidate and part
};

// "text" and, for what was thought, "thought" beside it.
bool is_text(const json_t *part) noexcept {
    const auto *thought = json_object_get(part, "thought");
    return json_is_string(json_object_get(part, "text")) &&
           json_object_size(part) == (thought == nullptr ? 1U : 2U);
}

bool GeminiJoin::take(std::string_view, json_t *event) noexcept {
    auto *wrapped = json_object_get(event, "response");  // Code Assist
    auto *reply = json_is_object(wrapped) ? wrapped : event;
    const char *name;
    json_t *value;
    json_object_foreach(reply, name, value) {
        if (std::string_view{name} != "candidates") {
            if (!share(reply_.get(), name, value)) {
                return false;
            }
            continue;
        }
        for (std::size_t i = 0; i < json_array_size(value); i++) {
            if (!take_candidate(json_array_get(value, i))) {
                return false;
            }
        }
    }
    return true;
}

bool GeminiJoin::take_candidate(const json_t *from) noexcept {
    auto index = number_member(from, "index");
    auto *candidates = array_member(reply_.get(), "candidates");
    auto *candidate =
        candidates == nullptr ? nullptr : indexed(candidates, index);
    if (candidate == nullptr) {
        return false;
    }
    const char *name;
    json_t *value;
    json_object_foreach(const_cast<json_t *>(from), name, value) {
        bool good = std::string_view{name} == "content"
                        ? take_content(index, candidate, value)
                        : share(candidate, name, value);
        if (!good) {
            return false;
        }
    }
    return true;
}

bool GeminiJoin::take_content(json_int_t index, json_t *candidate,
                              const json_t *content) noexcept {
    auto *to = object_member(candidate, "content");
    auto *parts = to == nullptr ? nullptr : array_member(to, "parts");
    if (parts == nullptr ||
        !share(to, "role", json_object_get(content, "role"))) {
        return false;
    }
    const auto *from = json_object_get(content, "parts");
    for (std::size_t i = 0; i < json_array_size(from); i++) {
        if (!take_part(index, parts, json_array_get(from, i))) {
            return false;
        }
    }
    return true;
}

bool GeminiJoin::take_part(json_int_t index, json_t *parts,
                           json_t *part) noexcept {
    auto count = static_cast<json_int_t>(json_array_size(parts));
    const auto *last =
        count == 0
            ? nullptr
            : json_array_get(parts, static_cast<std::size_t>(count) - 1);
    bool same_kind = json_is_true(json_object_get(last, "thought")) ==
                     json_is_true(json_object_get(part, "thought"));
    bool goes_on = is_text(part) && is_text(last) && same_kind;
    if (!goes_on && json_array_append(parts, part) != 0) {
        return false;
    }
    return !is_text(part) || pieces_.add(index, goes_on ? count - 1 : count,
                                         "text", text_member(part, "text"));
}

bool GeminiJoin::is_whole(bool ended) const noexcept {
    const auto *candidates = json_object_get(reply_.get(), "candidates");
    auto count = json_array_size(candidates);
    for (std::size_t i = 0; i < count; i++) {
        const auto *candidate = json_array_get(candidates, i);
        if (json_object_get(candidate, "finishReason") == nullptr) {
            return ended;
        }
    }
    return count != 0 || ended;
}

Json GeminiJoin::end() noexcept {
    bool good = reply_ != nullptr;
    pieces_.for_each([this, &good](const TextPieces::Piece &piece) {
        auto *candidates = array_member(reply_.get(), "candidates");
        auto *candidate =
            candidates == nullptr ? nullptr : indexed(candidates, piece.first);
        const auto *content = json_object_get(candidate, "content");
        const auto *parts = json_object_get(content, "parts");
        auto *part =
            json_array_get(parts, static_cast<std::size_t>(piece.second));
        good = good && json_object_set_new(part, "text",
                                           TextPieces::string_of(piece)) == 0;
    });
    return good ? std::move(reply_) : nullptr;
}

}  // namespace

std::unique_ptr<ReplyJoin> join_gemini() noexcept {
    return std::unique_ptr<ReplyJoin>{new (std::nothrow) GeminiJoin};
}

}  // namespace keystile
