// The Chat Completions interface of OpenAI, which many others speak: chunks
// with what each choice has more. Text grows, whatever its name is; all else
// is as the last chunk has it.

#include <new>

#include "reply_join.hpp"

namespace keystile {
namespace {

constexpr json_int_t kNoTool = -1;

bool is_set_once(std::string_view name) noexcept {
    return name == "role" || name == "id" || name == "type" || name == "name";
}

class ChatJoin final : public ReplyJoin {
public:
    bool take(std::string_view, json_t *event) noexcept override;
    bool is_whole(bool) const noexcept override;
    Json end() noexcept override;

private:
    bool take_top(json_t *event) noexcept;
    bool take_choice(const json_t *choice) noexcept;
    bool take_delta(json_int_t index, json_t *message,
                    const json_t *delta) noexcept;
    bool take_tool(json_int_t index, json_t *message,
                   const json_t *tool) noexcept;
    bool take_logprobs(json_t *choice, const json_t *from) noexcept;
    bool add(json_int_t choice, json_int_t tool, json_t *to, const char *name,
             json_t *value) noexcept;
    json_t *choice_of(json_int_t index) noexcept;

    Json reply_{json_object()};
    // By choice and tool call; a tool's are those of its function.
    TextPieces pieces_;
};

bool ChatJoin::take(std::string_view, json_t *event) noexcept {
    const auto *choices = json_object_get(event, "choices");
    bool good = take_top(event);
    for (std::size_t i = 0; good && i < json_array_size(choices); i++) {
        good = take_choice(json_array_get(choices, i));
    }
    return good;
}

bool ChatJoin::take_top(json_t *event) noexcept {
    const char *name;
    json_t *value;
    json_object_foreach(event, name, value) {
        std::string_view is{name};
        bool known = json_object_get(reply_.get(), name) != nullptr;
        if (is == "choices" || (json_is_null(value) && known)) {
            continue;
        }
        auto *kept = is == "object" ? json_string("chat.completion")
                                    : json_incref(value);
        if (json_object_set_new(reply_.get(), name, kept) != 0) {
            return false;
        }
    }
    return array_member(reply_.get(), "choices") != nullptr;
}

json_t *ChatJoin::choice_of(json_int_t index) noexcept {
    auto *choices = array_member(reply_.get(), "choices");
    return choices == nullptr ? nullptr : indexed(choices, index);
}

bool ChatJoin::take_choice(const json_t *from) noexcept {
    auto index = number_member(from, "index");
    auto *choice = choice_of(index);
    if (choice == nullptr || object_member(choice, "message") == nullptr) {
        return false;
    }
    const char *name;
    json_t *value;
    json_object_foreach(const_cast<json_t *>(from), name, value) {
        std::string_view is{name};
        bool good = true;
        if (is == "delta") {
            // A "message" of the chunk's own has taken the place of ours.
            auto *message = object_member(choice, "message");
            good = message != nullptr && take_delta(index, message, value);
        } else if (is == "logprobs") {
            good = take_logprobs(choice, value);
        } else if (!json_is_null(value)) {
            good = share(choice, name, value);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

bool ChatJoin::take_delta(json_int_t index, json_t *message,
                          const json_t *delta) noexcept {
    const char *name;
    json_t *value;
    json_object_foreach(const_cast<json_t *>(delta), name, value) {
        std::string_view is{name};
        bool good = true;
        if (is == "tool_calls") {
            for (std::size_t i = 0; good && i < json_array_size(value); i++) {
                good = take_tool(index, message, json_array_get(value, i));
            }
        } else {
            good = add(index, kNoTool, message, name, value);
        }
        if (!good) {
            return false;
        }
    }
    return true;
}

// Text waits in the pieces; until the end, "" has its place.
bool ChatJoin::add(json_int_t choice, json_int_t tool, json_t *to,
                   const char *name, json_t *value) noexcept {
    bool known = json_object_get(to, name) != nullptr;
    if (json_is_null(value)) {
        return known || share(to, name, value);
    }
    if (!json_is_string(value) || is_set_once(name)) {
        return share(to, name, value);
    }
    return pieces_.add(choice, tool, name, text_of(value)) &&
           json_object_set_new(to, name, json_string("")) == 0;
}

bool ChatJoin::take_tool(json_int_t index, json_t *message,
                         const json_t *from) noexcept {
    auto number = number_member(from, "index");
    auto *tools = array_member(message, "tool_calls");
    auto *tool = tools == nullptr ? nullptr : indexed(tools, number);
    if (tool == nullptr) {
        return false;
    }
    const char *name;
    json_t *value;
    json_object_foreach(const_cast<json_t *>(from), name, value) {
        if (!json_is_object(value)) {
            if (!json_is_null(value) && !share(tool, name, value)) {
                return false;
            }
            continue;
        }
        auto *inner = object_member(tool, name);  // "function", "custom"
        const char *inner_name;
        json_t *inner_value;
        json_object_foreach(value, inner_name, inner_value) {
            if (inner == nullptr ||
                !add(index, number, inner, inner_name, inner_value)) {
                return false;
            }
        }
    }
    return true;
}

bool ChatJoin::take_logprobs(json_t *choice, const json_t *from) noexcept {
    const char *name;
    json_t *value;
    json_object_foreach(const_cast<json_t *>(from), name, value) {
        auto *to =
            json_is_array(value) ? object_member(choice, "logprobs") : nullptr;
        auto *list = to == nullptr ? nullptr : array_member(to, name);
        if (json_is_array(value) &&
            (list == nullptr || json_array_extend(list, value) != 0)) {
            return false;
        }
    }
    return true;
}

// Every choice says why it ended. A client may leave before "[DONE]".
bool ChatJoin::is_whole(bool) const noexcept {
    const auto *choices = json_object_get(reply_.get(), "choices");
    auto count = json_array_size(choices);
    for (std::size_t i = 0; i < count; i++) {
        const auto *choice = json_array_get(choices, i);
        if (!json_is_string(json_object_get(choice, "finish_reason"))) {
            return false;
        }
    }
    return count != 0;
}

Json ChatJoin::end() noexcept {
    bool good = reply_ != nullptr;
    pieces_.for_each([this, &good](const TextPieces::Piece &piece) {
        auto *choice = choice_of(piece.first);
        auto *to =
            choice == nullptr ? nullptr : object_member(choice, "message");
        if (to != nullptr && piece.second != kNoTool) {
            auto *tools = array_member(to, "tool_calls");
            to = tools == nullptr ? nullptr : indexed(tools, piece.second);
            for (const char *name : {"function", "custom"}) {
                auto *inner = json_object_get(to, name);
                to =
                    json_object_get(inner, piece.name) != nullptr ? inner : to;
            }
        }
        good = good && json_object_set_new(to, piece.name,
                                           TextPieces::string_of(piece)) == 0;
    });
    return good ? std::move(reply_) : nullptr;
}

}  // namespace

std::unique_ptr<ReplyJoin> join_chat() noexcept {
    return std::unique_ptr<ReplyJoin>{new (std::nothrow) ChatJoin};
}

}  // namespace keystile
