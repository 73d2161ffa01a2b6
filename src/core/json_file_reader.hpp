// What all readers of configuration files in JSON do: parse the text, take
// memory for what they make of it, and say what is wrong where.
//
// Functions that return bool return false once they have set the error.

#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <span>
#include <string_view>

#include "json_element.hpp"
#include "json_file.hpp"
#include "json_position.hpp"

namespace keystile {

class JsonFileReader {
public:
    JsonFileReader(std::string_view text, Allocator allocator) noexcept
        : text_{text}, allocator_{allocator} {}

    JsonFileReader(const JsonFileReader &) = delete;
    JsonFileReader &operator=(const JsonFileReader &) = delete;

    // The tree of the text. Null after an error: of the syntax, or since the
    // text is larger than so many MiB.
    Json parse(std::size_t most_mib) noexcept;

    // An array with items. One without any could be read as "all" or "none".
    bool expect_list(const JsonElement &value, std::string_view name) noexcept;

    bool expect_version(const JsonElement &value) noexcept;

    // Fails unless the object has all these members. `of` follows the name in
    // the message: " of a client".
    bool expect_members(const JsonElement &object,
                        std::initializer_list<const char *> names,
                        std::string_view of = "") noexcept;

    // Fails: what is not known is an error. Shows the name if it cannot be a
    // key that was written in the wrong place.
    bool refuse_member(std::string_view name,
                       const JsonElement &value) noexcept;

    // Fails with the parts put together, as far as there is room for them.
    bool fail(const JsonElement &at,
              std::initializer_list<std::string_view> message,
              JsonPart part = JsonPart::value) noexcept;

    bool fail_for_lack_of_memory() noexcept;

    bool copy(std::string_view text, std::string_view &to) noexcept;

    template <typename T>
    bool allocate(std::size_t count, std::span<T> &to) noexcept;

    std::string_view text() const noexcept { return text_; }
    const JsonFileError &error() const noexcept { return error_; }

private:
    void set_message(std::initializer_list<std::string_view> parts) noexcept;

    std::string_view text_;
    Allocator allocator_;
    JsonFileError error_{};
};

template <typename T>
bool JsonFileReader::allocate(std::size_t count, std::span<T> &to) noexcept {
    auto memory =
        allocator_.allocate(allocator_.context, count * sizeof(T), alignof(T));
    if (memory == nullptr) {
        return fail_for_lack_of_memory();
    }
    to = {static_cast<T *>(memory), count};
    std::uninitialized_value_construct_n(to.data(), count);
    return true;
}

}  // namespace keystile
