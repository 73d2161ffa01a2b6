// Any file: what is accepted becomes whole header lines, of the token that
// another parser finds there, and leaves nothing else in memory.

#include "codex_auth.hpp"

#include <jansson.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "check.hpp"
#include "json_position.hpp"
#include "jwt_claims.hpp"

namespace keystile {
namespace {

using Rule = SecretFileError::Rule;

void check_lines(std::string_view lines, std::string_view key) {
    constexpr std::string_view first{"Authorization: Bearer "};
    constexpr std::string_view names[] = {
        first, "ChatGPT-Account-ID: ", "X-OpenAI-Fedramp: true"};
    check(lines.starts_with(first), "the first line is the token");
    check(lines.data() + first.size() == key.data(), "which is there");
    check(!key.empty() && std::all_of(key.begin(), key.end(), is_key_char),
          "a key is printable");
    std::size_t count = 0;
    while (!lines.empty()) {
        auto end = lines.find("\r\n");
        check(end != lines.npos, "lines end");
        auto line = lines.substr(0, end);
        check(count < std::size(names) && line.starts_with(names[count]),
              "lines are in order");
        check(std::all_of(line.begin(), line.end(),
                          [](char c) { return is_key_char(c) || c == ' '; }),
              "lines are printable");
        lines.remove_prefix(end + 2);
        count++;
    }
}

void check_rest(std::string_view lines, std::size_t size) {
    auto *end = lines.data() + 3 * size + 513;
    check(std::all_of(lines.data() + lines.size(), end,
                      [](char c) { return c == '\0'; }),
          "nothing else is left");
}

void check_against_parser(std::string_view text, std::string_view key) {
    // A half of a surrogate pair is an error for it, and a name that comes
    // twice is not for us, if it is of no interest.
    if (text.find("\\u") != text.npos) {
        return;
    }
    json_error_t error;
    auto *json = json_loadb(text.data(), text.size(), JSON_ALLOW_NUL, &error);
    if (json == nullptr) {
        auto code = json_error_code(&error);
        check(code == json_error_invalid_utf8 ||
                  code == json_error_numeric_overflow,
              "another parser takes it, too");
        return;
    }
    const auto *api_key = json_object_get(json, "OPENAI_API_KEY");
    const auto *tokens = json_object_get(json, "tokens");
    const auto *access = json_object_get(tokens, "access_token");
    auto is = [key](const json_t *value) {
        return json_is_string(value) &&
               std::string_view{json_string_value(value),
                                json_string_length(value)} == key;
    };
    check(is(api_key) || is(access), "and finds the same");
    json_decref(json);
}

void check_error(std::string_view text, const SecretFileError &error) {
    check(!describe(error.rule).empty(), "each rule has words");
    bool is_json = error.rule == Rule::json;
    bool has_place = is_json || error.rule == Rule::json_object ||
                     error.rule == Rule::json_depth ||
                     error.rule == Rule::json_doubled;
    check(has_place == (error.line > 0) && has_place == (error.column > 0),
          "faults of JSON have a place");
    auto end = position_at(text, text.size());
    check(error.line <= end.line, "within the file");
    // Jansson loses a zero byte that follows a word such as null.
    bool has_nul = text.find('\0') != text.npos;
    auto *json = json_loadb(text.data(), text.size(), JSON_ALLOW_NUL, nullptr);
    check(json == nullptr || !is_json || has_nul,
          "what another parser takes is JSON");
    json_decref(json);
}

// RFC 4648 section 5, without padding.
std::string base64url(std::string_view text) {
    constexpr std::string_view digits{
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};
    std::string out;
    unsigned bits = 0;
    unsigned held = 0;
    for (char c : text) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (held += 8; held >= 6;) {
            held -= 6;
            out += digits[bits >> held & 63];
        }
    }
    if (held > 0) {
        out += digits[bits << (6 - held) & 63];
    }
    return out;
}

// The text as what a token says, which no mutation of a token would make.
void check_claims(std::string_view text) {
    auto token = "e30." + base64url(text) + ".c2ln";
    std::string room(token.size(), '\0');
    auto claims = read_jwt_claims(token, {room.data(), room.size()});
    if (!claims) {
        return;
    }
    check(claims->expires >= 0, "a time is known or not");
    auto *json = json_loadb(text.data(), text.size(), JSON_ALLOW_NUL, nullptr);
    const auto *exp = json_object_get(json, "exp");
    if (json_is_integer(exp) && text.find('\\') == text.npos) {
        auto value = json_integer_value(exp);
        check(claims->expires == (value > 0 ? value : 0),
              "another parser finds the same time");
    }
    json_decref(json);
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    using namespace keystile;

    check_claims(text_of(bytes, size));
    auto draft = CodexAuthDraft::create(size);
    if (!draft) {
        check(size > CodexAuthDraft::kMaxContent, "there is memory");
        return 0;
    }
    if (size != 0) {
        std::memcpy(draft->content().data(), bytes, size);
    }
    auto text = text_of(bytes, size);
    auto auth = std::move(*draft).finish(size);
    if (!auth) {
        check_error(text, auth.error());
        return 0;
    }
    check_lines(auth->lines.line(), auth->lines.value());
    check_rest(auth->lines.line(), size);
    check(auth->expires >= 0, "a time is known or not");
    check_against_parser(text, auth->lines.value());
    return 0;
}
