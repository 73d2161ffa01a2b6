// The Messages interface of Anthropic: a message, and the blocks of its
// content, which grow by deltas. What it says of its usage is a sum, and
// replaces what was said before.

#include <array>
#include <new>

#include "reply_join.hpp"

namespace keystile {
namespace {

// The kinds of delta, and the member of the block that grows.
struct Growth {
    std::string_view delta;
    const char *from;
    const char *to;
};

constexpr std::array<Growth, 4> kGrowths{{
    {"text_delta", "text", "text"},
    {"input_json_delta", "partial_json", "input"},
    {"thinking_delta", "thinking", "thinking"},
    {"signature_delta", "signature", "signature"},
}};

class MessagesJoin final : public ReplyJoin {
public:
    bool take(std::string_view type, json_t *event) noexcept override;
    bool is_whole(bool) const noexcept override { return whole_; }
    Json end() noexcept override;

private:
    bool take_start(const json_t *event) noexcept;
    bool take_block(const json_t *event) noexcept;
    bool take_growth(const json_t *event) noexcept;
    bool take_delta(const json_t *event) noexcept;
    json_t *block_of(json_int_t index) noexcept;
    bool fill(const TextPieces::Piece &piece) noexcept;

    Json reply_{json_object()};
    Json blocks_{json_array()};  // objects with "index" and "block"
    TextPieces pieces_;
    bool whole_ = false;
};

bool MessagesJoin::take(std::string_view type, json_t *event) noexcept {
    if (type == "message_start") {
        return take_start(event);
    }
    if (type == "content_block_start") {
        return take_block(event);
    }
    if (type == "content_block_delta") {
        return take_growth(event);
    }
    if (type == "message_delta") {
        return take_delta(event);
    }
    whole_ = whole_ || type == "message_stop";
    return true;
}

bool MessagesJoin::take_start(const json_t *event) noexcept {
    auto *message = json_object_get(event, "message");
    return !json_is_object(message) ||
           json_object_update(reply_.get(), message) == 0;
}

bool MessagesJoin::take_block(const json_t *event) noexcept {
    auto *slot = indexed(blocks_.get(), number_member(event, "index"));
    return slot != nullptr &&
           share(slot, "block", json_object_get(event, "content_block"));
}

json_t *MessagesJoin::block_of(json_int_t index) noexcept {
    auto *slot = indexed(blocks_.get(), index);
    return slot == nullptr ? nullptr : object_member(slot, "block");
}

bool MessagesJoin::take_growth(const json_t *event) noexcept {
    auto index = number_member(event, "index");
    auto *delta = json_object_get(event, "delta");
    auto type = text_member(delta, "type");
    for (const auto &growth : kGrowths) {
        if (growth.delta == type) {
            return pieces_.add(index, 0, growth.to,
                               text_member(delta, growth.from));
        }
    }
    if (type == "citations_delta") {
        auto *block = block_of(index);
        auto *list =
            block == nullptr ? nullptr : array_member(block, "citations");
        return list != nullptr &&
               json_array_append(list, json_object_get(delta, "citation")) ==
                   0;
    }
    return true;
}

bool MessagesJoin::take_delta(const json_t *event) noexcept {
    auto *delta = json_object_get(event, "delta");
    auto *usage = json_object_get(event, "usage");
    if (json_is_object(delta) &&
        json_object_update(reply_.get(), delta) != 0) {
        return false;
    }
    whole_ = whole_ || !text_member(delta, "stop_reason").empty();
    auto *sum =
        json_is_object(usage) ? object_member(reply_.get(), "usage") : nullptr;
    return !json_is_object(usage) ||
           (sum != nullptr && json_object_update(sum, usage) == 0);
}

// A text goes on from what the block began with. An input is JSON; where it
// was cut off, it is a text.
bool MessagesJoin::fill(const TextPieces::Piece &piece) noexcept {
    auto *block = block_of(piece.first);
    if (block == nullptr) {
        return false;
    }
    if (std::string_view{piece.name} == "input") {
        auto text = piece.text.view();
        auto *input = text.empty() ? json_object() : parse_event(text);
        return json_object_set_new(
                   block, "input",
                   input != nullptr ? input : TextPieces::string_of(piece)) ==
               0;
    }
    HeapText text;
    text.put(text_member(block, piece.name));
    text.put(piece.text.view());
    auto all = text.view();
    return !text.has_failed() &&
           json_object_set_new(
               block, piece.name,
               json_stringn(all.empty() ? "" : all.data(), all.size())) == 0;
}

Json MessagesJoin::end() noexcept {
    bool good = reply_ != nullptr;
    pieces_.for_each(
        [this, &good](const auto &piece) { good = good && fill(piece); });
    auto *content = good ? array_member(reply_.get(), "content") : nullptr;
    good = content != nullptr;
    for (std::size_t i = 0; good && i < json_array_size(blocks_.get()); i++) {
        auto *block =
            json_object_get(json_array_get(blocks_.get(), i), "block");
        good = block == nullptr || json_array_append(content, block) == 0;
    }
    return good ? std::move(reply_) : nullptr;
}

}  // namespace

std::unique_ptr<ReplyJoin> join_messages() noexcept {
    return std::unique_ptr<ReplyJoin>{new (std::nothrow) MessagesJoin};
}

}  // namespace keystile
