#include "reply_join.hpp"

#include <algorithm>
#include <new>

#include "json_compact.hpp"

namespace keystile {
namespace {

constexpr std::size_t kMostElements = 4096;

class NoText final : public TextSink {
public:
    void put(std::string_view) noexcept override {}
};

}  // namespace

TextPieces::~TextPieces() {
    while (first_ != nullptr) {
        auto *piece = first_;
        first_ = piece->next;
        delete piece;
    }
}

bool TextPieces::add(json_int_t first, json_int_t second,
                     std::string_view name, std::string_view text) noexcept {
    auto is_it = [&](const Piece *piece) {
        return piece != nullptr && piece->first == first &&
               piece->second == second && name == piece->name;
    };
    if (!is_it(recent_)) {
        recent_ = first_;
        while (recent_ != nullptr && !is_it(recent_)) {
            recent_ = recent_->next;
        }
    }
    if (recent_ == nullptr) {
        if (count_ == kMost || name.size() >= sizeof(Piece::name)) {
            return false;
        }
        recent_ = new (std::nothrow) Piece{first, second, {}, {}, nullptr};
        if (recent_ == nullptr) {
            return false;
        }
        std::copy(name.begin(), name.end(), recent_->name);
        (last_ == nullptr ? first_ : last_->next) = recent_;
        last_ = recent_;
        count_++;
    }
    recent_->text.put(text);
    return !recent_->text.has_failed();
}

json_t *TextPieces::find(json_int_t first, json_int_t second,
                         std::string_view name) const noexcept {
    for (const auto *piece = first_; piece != nullptr; piece = piece->next) {
        if (piece->first == first && piece->second == second &&
            name == piece->name) {
            return string_of(*piece);
        }
    }
    return nullptr;
}

json_t *TextPieces::string_of(const Piece &piece) noexcept {
    auto text = piece.text.view();
    return json_stringn(text.empty() ? "" : text.data(), text.size());
}

// jansson asks less of a text than we do, and goes deeper.
json_t *parse_event(std::string_view text) noexcept {
    NoText nowhere;
    return put_compact_json(text, nowhere)
               ? json_loadb(text.data(), text.size(), JSON_ALLOW_NUL, nullptr)
               : nullptr;
}

std::string_view text_member(const json_t *object, const char *name) noexcept {
    const auto *value = json_object_get(object, name);
    return json_is_string(value) ? text_of(value) : std::string_view{};
}

json_int_t number_member(const json_t *object, const char *name,
                         json_int_t otherwise) noexcept {
    const auto *value = json_object_get(object, name);
    return json_is_integer(value) ? json_integer_value(value) : otherwise;
}

bool share(json_t *object, const char *name, json_t *value) noexcept {
    return value == nullptr || json_object_set(object, name, value) == 0;
}

json_t *object_member(json_t *object, const char *name) noexcept {
    auto *value = json_object_get(object, name);
    if (json_is_object(value)) {
        return value;
    }
    value = json_object();
    return json_object_set_new(object, name, value) == 0 ? value : nullptr;
}

json_t *array_member(json_t *object, const char *name) noexcept {
    auto *value = json_object_get(object, name);
    if (json_is_array(value)) {
        return value;
    }
    value = json_array();
    return json_object_set_new(object, name, value) == 0 ? value : nullptr;
}

json_t *indexed(json_t *array, json_int_t index) noexcept {
    for (std::size_t i = json_array_size(array); i > 0; i--) {
        auto *element = json_array_get(array, i - 1);
        if (number_member(element, "index") == index) {
            return element;
        }
    }
    if (json_array_size(array) == kMostElements) {
        return nullptr;
    }
    auto *element = json_pack("{sI}", "index", index);
    return json_array_append_new(array, element) == 0 ? element : nullptr;
}

}  // namespace keystile
