#include "json_file_reader.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "ascii.hpp"

namespace keystile {
namespace {

// What jansson says quotes the text, which may hold a key.
std::string_view syntax_message(const json_error_t &error) noexcept {
    switch (json_error_code(&error)) {
    case json_error_out_of_memory:
        return "out of memory";
    case json_error_stack_overflow:
        return "the JSON is nested too deeply";
    case json_error_invalid_utf8:
        return "the text is not UTF-8";
    case json_error_premature_end_of_input:
        return "the JSON ends too early";
    case json_error_end_of_input_expected:
        return "the JSON is followed by something else";
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return "the JSON holds a null character";
    case json_error_duplicate_key:
        return "a member is given twice";
    case json_error_numeric_overflow:
        return "the number is too large";
    default:
        return "the text is not JSON";
    }
}

// Whether a name that means nothing to us may be shown: it is no key that was
// written in the wrong place.
bool is_harmless_name(std::string_view name) noexcept {
    return name.size() <= 32 &&
           std::all_of(name.begin(), name.end(),
                       [](char c) { return is_alpha(c) || c == '_'; });
}

}  // namespace

Json JsonFileReader::parse(std::size_t most_mib) noexcept {
    if (text_.size() > most_mib * 1024 * 1024) {
        std::array<char, 20> digits{};
        auto end = std::to_chars(digits.begin(), digits.end(), most_mib).ptr;
        set_message({"the file is larger than ",
                     std::string_view{digits.begin(), end}, " MiB"});
        return nullptr;
    }

    json_error_t error;
    Json root{json_loadb(text_.data(), text_.size(), JSON_REJECT_DUPLICATES,
                         &error)};
    if (!root) {
        error_.line = error.line;
        error_.column = std::max(error.column, 1);
        set_message({syntax_message(error)});
    }
    return root;
}

bool JsonFileReader::expect_list(const JsonElement &value,
                                 std::string_view name) noexcept {
    return json_array_size(value.json) > 0 ||  // 0 for other types, too
           fail(value, {"\"", name, "\" must be an array, and not empty"});
}

bool JsonFileReader::expect_version(const JsonElement &value) noexcept {
    return (json_is_integer(value.json) &&
            json_integer_value(value.json) == 1) ||
           fail(value, {"\"version\" must be 1"});
}

bool JsonFileReader::expect_members(const JsonElement &object,
                                    std::initializer_list<const char *> names,
                                    std::string_view of) noexcept {
    for (auto name : names) {
        if (json_object_get(object.json, name) == nullptr) {
            return fail(object, {"\"", name, "\"", of, " is missing"});
        }
    }
    return true;
}

bool JsonFileReader::refuse_member(std::string_view name,
                                   const JsonElement &value) noexcept {
    if (is_harmless_name(name)) {
        return fail(value, {"unknown member \"", name, "\""}, JsonPart::name);
    }
    return fail(value, {"unknown member"}, JsonPart::name);
}

bool JsonFileReader::fail(const JsonElement &at,
                          std::initializer_list<std::string_view> message,
                          JsonPart part) noexcept {
    auto position = find_json_element(text_, at.path(), part);
    error_.line = position.line;
    error_.column = position.column;
    set_message(message);
    return false;
}

bool JsonFileReader::fail_for_lack_of_memory() noexcept {
    set_message({"out of memory"});
    return false;
}

bool JsonFileReader::copy(std::string_view text,
                          std::string_view &to) noexcept {
    std::span<char> chars;
    if (!allocate(text.size(), chars)) {
        return false;
    }
    std::copy(text.begin(), text.end(), chars.begin());
    to = {chars.data(), chars.size()};
    return true;
}

void JsonFileReader::set_message(
    std::initializer_list<std::string_view> parts) noexcept {
    auto to = error_.message;
    auto room = sizeof(error_.message) - 1;
    for (auto part : parts) {
        part = part.substr(0, room);
        to = std::copy(part.begin(), part.end(), to);
        room -= part.size();
    }
    *to = '\0';
}

}  // namespace keystile
