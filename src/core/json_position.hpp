// Where an element of a JSON text stands (RFC 8259).
//
// jansson keeps no positions in its values, so an error that is found in the
// tree is located in the text afterwards, by counting elements.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace keystile {

struct JsonPosition {
    int line;    // from 1
    int column;  // from 1, in code points
};

// Of a byte of a text.
JsonPosition position_at(std::string_view text, std::size_t offset) noexcept;

enum class JsonPart { name, value };

// The position of an element: `path` has one number per level, counted from 0
// in the order of the text, for elements of arrays and members of objects
// alike (jansson iterates over members in that order). An empty path is the
// root. `name` asks for the name of a member, where the last level is one.
//
// Requires a text that a JSON parser has accepted. A path that leads nowhere
// gives the position of the last container that was on it.
JsonPosition find_json_element(std::string_view text,
                               std::span<const std::size_t> path,
                               JsonPart part) noexcept;

}  // namespace keystile
