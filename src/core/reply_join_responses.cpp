// The Responses interface of OpenAI. Its last event has the whole response;
// but that of chatgpt.com leaves its output empty, which is then made of the
// items that came before.

#include <array>
#include <limits>
#include <new>

#include "reply_join.hpp"

namespace keystile {
namespace {

constexpr std::string_view kPrefix = "response.";

// Where the pieces of a text belong in its item.
struct Place {
    std::string_view event;  // without the prefix
    const char *list;        // of parts; null: the text is the item's own
    const char *index;       // of the part in the list
    const char *part;        // type of the part
    const char *member;      // that the text is
};

constexpr std::array<Place, 8> kPlaces{{
    {"output_text.delta", "content", "content_index", "output_text", "text"},
    {"refusal.delta", "content", "content_index", "refusal", "refusal"},
    {"reasoning_text.delta", "content", "content_index", "reasoning_text",
     "text"},
    {"reasoning_summary_text.delta", "summary", "summary_index",
     "summary_text", "text"},
    {"function_call_arguments.delta", nullptr, nullptr, nullptr, "arguments"},
    {"mcp_call_arguments.delta", nullptr, nullptr, nullptr, "arguments"},
    {"custom_tool_call_input.delta", nullptr, nullptr, nullptr, "input"},
    {"code_interpreter_call_code.delta", nullptr, nullptr, nullptr, "code"},
}};

const Place *find_place(std::string_view event) noexcept {
    for (const auto &place : kPlaces) {
        if (place.event == event) {
            return &place;
        }
    }
    return nullptr;
}

class ResponsesJoin final : public ReplyJoin {
public:
    bool take(std::string_view type, json_t *event) noexcept override;
    bool is_whole(bool) const noexcept override { return whole_; }
    Json end() noexcept override;

private:
    bool take_item(const json_t *event, bool is_done) noexcept;
    bool take_piece(const Place &place, const json_t *event) noexcept;
    bool fill(const TextPieces::Piece &piece) noexcept;
    Json output() const noexcept;

    Json reply_;
    // Of objects with "index", and "item" and "done" as they come.
    Json items_{json_array()};
    TextPieces pieces_;
    bool whole_ = false;
};

bool ResponsesJoin::take(std::string_view type, json_t *event) noexcept {
    type.remove_prefix(kPrefix.size());
    if (const auto *place = find_place(type)) {
        return take_piece(*place, event);
    }
    if (type == "output_item.added" || type == "output_item.done") {
        return take_item(event, type == "output_item.done");
    }
    bool is_last = type == "completed" || type == "incomplete" ||
                   type == "failed" || type == "done";
    bool is_first =
        type == "created" || type == "in_progress" || type == "queued";
    auto *response = json_object_get(event, "response");
    if ((is_last || is_first) && json_is_object(response)) {
        reply_.reset(json_incref(response));
        whole_ = whole_ || is_last;
    }
    return true;
}

bool ResponsesJoin::take_item(const json_t *event, bool is_done) noexcept {
    auto *item = json_object_get(event, "item");
    auto *slot = indexed(items_.get(), number_member(event, "output_index"));
    return slot != nullptr && share(slot, "item", item) &&
           (!is_done || json_object_set_new(slot, "done", json_true()) == 0);
}

bool ResponsesJoin::take_piece(const Place &place,
                               const json_t *event) noexcept {
    auto part = place.index == nullptr ? 0 : number_member(event, place.index);
    return pieces_.add(number_member(event, "output_index"), part, place.event,
                       text_member(event, "delta"));
}

// Puts the text into its item, unless that has come whole.
bool ResponsesJoin::fill(const TextPieces::Piece &piece) noexcept {
    const auto &place = *find_place(piece.name);
    auto *slot = indexed(items_.get(), piece.first);
    if (slot == nullptr || json_object_get(slot, "done") != nullptr) {
        return slot != nullptr;
    }
    auto *to = object_member(slot, "item");
    if (to != nullptr && place.list != nullptr) {
        auto *list = array_member(to, place.list);
        Json part{json_pack("{ss}", "type", place.part)};
        to = part.get();
        if (json_array_append(list, to) != 0) {
            return false;
        }
    }
    return json_object_set_new(to, place.member,
                               TextPieces::string_of(piece)) == 0;
}

// The items in the order of their numbers.
Json ResponsesJoin::output() const noexcept {
    Json output{json_array()};
    auto least = std::numeric_limits<json_int_t>::min();
    for (std::size_t n = json_array_size(items_.get()); n > 0; n--) {
        const json_t *next = nullptr;
        for (std::size_t i = 0; i < json_array_size(items_.get()); i++) {
            const auto *slot = json_array_get(items_.get(), i);
            auto index = number_member(slot, "index");
            if (index >= least &&
                (next == nullptr || index < number_member(next, "index"))) {
                next = slot;
            }
        }
        if (next == nullptr) {
            break;
        }
        auto *item = json_object_get(next, "item");
        if (item != nullptr && json_array_append(output.get(), item) != 0) {
            return nullptr;
        }
        auto index = number_member(next, "index");
        if (index == std::numeric_limits<json_int_t>::max()) {
            break;
        }
        least = index + 1;
    }
    return output;
}

Json ResponsesJoin::end() noexcept {
    if (!reply_) {
        reply_.reset(json_object());
    }
    bool good = reply_ != nullptr;
    if (!whole_) {
        pieces_.for_each(
            [this, &good](const auto &piece) { good = good && fill(piece); });
    }
    const auto *given = json_object_get(reply_.get(), "output");
    if (json_array_size(items_.get()) != 0 && json_array_size(given) == 0) {
        auto items = output();
        good = good && share(reply_.get(), "output", items.get());
    }
    return good ? std::move(reply_) : nullptr;
}

}  // namespace

std::unique_ptr<ReplyJoin> join_responses() noexcept {
    return std::unique_ptr<ReplyJoin>{new (std::nothrow) ResponsesJoin};
}

}  // namespace keystile
