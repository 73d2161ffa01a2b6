// A thin view of jansson for readers of configuration files: values that know
// how they were reached, so that an error can say where (json_position.hpp).

#pragma once

#include <jansson.h>

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string_view>

namespace keystile {

struct DecrementJsonReference {
    void operator()(json_t *json) const noexcept { json_decref(json); }
};

// Owns one reference.
using Json = std::unique_ptr<json_t, DecrementJsonReference>;

class JsonElement {
public:
    // The root of a tree.
    explicit JsonElement(json_t *root) noexcept : json{root} {}

    // An element of this one. Requires that a tree is at most kMaxDepth deep
    // where it is looked into.
    JsonElement child(std::size_t index, json_t *value) const noexcept {
        JsonElement element{*this};
        element.json = value;
        element.steps_[element.depth_++] = index;
        return element;
    }

    // For find_json_element().
    std::span<const std::size_t> path() const noexcept {
        return std::span{steps_}.first(depth_);
    }

    json_t *json;

    static constexpr std::size_t kMaxDepth = 8;

private:
    std::array<std::size_t, kMaxDepth> steps_{};
    std::size_t depth_ = 0;
};

// Requires a string.
inline std::string_view text_of(const json_t *string) noexcept {
    return {json_string_value(string), json_string_length(string)};
}

// Calls visit(name, element) for each member of an object, in the order of
// the text, until it returns false; returns what the last call did, or true.
template <typename Visit>
bool for_each_member(const JsonElement &object, Visit visit) noexcept {
    std::size_t index = 0;
    for (auto at = json_object_iter(object.json); at != nullptr;
         at = json_object_iter_next(object.json, at)) {
        auto member = object.child(index++, json_object_iter_value(at));
        if (!visit(std::string_view{json_object_iter_key(at)}, member)) {
            return false;
        }
    }
    return true;
}

// The same with visit(index, element) for the items of an array.
template <typename Visit>
bool for_each_item(const JsonElement &array, Visit visit) noexcept {
    for (std::size_t i = 0; i < json_array_size(array.json); i++) {
        if (!visit(i, array.child(i, json_array_get(array.json, i)))) {
            return false;
        }
    }
    return true;
}

}  // namespace keystile
