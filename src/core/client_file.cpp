#include "client_file.hpp"

#include <algorithm>

#include "client_reader.hpp"

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

ClientFileError syntax_error(const json_error_t &from) noexcept {
    ClientFileError error{from.line, std::max(from.column, 1), {}};
    write_message(error, {syntax_message(from)});
    return error;
}

}  // namespace

Result<ClientKeys, ClientFileError> parse_client_file(
    std::string_view json_text, Allocator allocator) noexcept {
    if (json_text.size() > kMaxClientFileSize) {
        ClientFileError error{};
        write_message(error, {"the file is larger than 64 MiB"});
        return error;
    }

    json_error_t error;
    Json root{json_loadb(json_text.data(), json_text.size(),
                         JSON_REJECT_DUPLICATES, &error)};
    if (!root) {
        return syntax_error(error);
    }
    return read_clients(root.get(), json_text, allocator);
}

}  // namespace keystile
