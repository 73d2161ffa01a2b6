#include "provider_refusal.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "ascii.hpp"
#include "json_scan.hpp"

namespace keystile {
namespace {

// What an error is called, and in which members.
constexpr std::array<std::string_view, 9> kCodes{
    "authentication_error", "invalid_api_key",   "invalid_authentication",
    "api_key_invalid",      "unauthenticated",   "account_deactivated",
    "invalid_token",        "token_invalidated", "api_key_service_blocked",
};
constexpr std::array<std::string_view, 5> kCodeMembers{
    "\"type\"", "\"code\"", "\"status\"", "\"reason\"", "\"error\"",
};

// How what it says begins.
constexpr std::array<std::string_view, 6> kMessages{
    "incorrect api key",
    "invalid api key",
    "invalid x-api-key",
    "api key not valid",
    "invalid subscription key",
    "access denied due to invalid subscription key",
};
// Of a 400: what Google's says, whole, since others' begin with the name of a
// member that the caller made up; and how xAI's begins.
constexpr std::array<std::string_view, 3> kBadRequestMessages{
    "api key not valid. please pass a valid api key.",
    "api key not found. please pass a valid api key.",
    "api key expired. please renew the api key.",
};
constexpr std::string_view kBadRequestReason = "api_key_invalid";
constexpr std::array<std::string_view, 2> kBadRequestErrors{
    "incorrect api key provided: ",
    "incorrect api key provided. ",
};

constexpr std::array<std::string_view, 4> kMessageMembers{
    "\"message\"", "\"detail\"", "\"error\"", "\"title\""};

void trim_end(std::string_view &text) noexcept {
    auto last = text.find_last_not_of(" \t\r\n");
    text = text.substr(0, last + 1);
}

bool is_one_of(std::string_view text,
               std::span<const std::string_view> known) noexcept {
    return std::any_of(known.begin(), known.end(), [text](auto one) {
        return equals_ignoring_case(text, one);
    });
}

bool ends_with_one_of(std::string_view text,
                      std::span<const std::string_view> ends) noexcept {
    return std::any_of(ends.begin(), ends.end(), [text](auto end) {
        return text.size() >= end.size() &&
               equals_ignoring_case(text.substr(text.size() - end.size()),
                                    end);
    });
}

// Whether the text that follows `before` is the value of one of those.
bool begins_member(std::string_view before,
                   std::span<const std::string_view> members) noexcept {
    if (!before.ends_with('"')) {
        return false;
    }
    before.remove_suffix(1);
    trim_end(before);
    if (!before.ends_with(':')) {
        return false;
    }
    before.remove_suffix(1);
    trim_end(before);
    return ends_with_one_of(before, members);
}

// Each place where the phrase is.
template <typename Is>
bool any_place(std::string_view body, std::string_view phrase,
               Is is) noexcept {
    auto at = body.begin();
    for (;; ++at) {
        at = std::search(at, body.end(), phrase.begin(), phrase.end(),
                         [](char a, char b) { return lower(a) == b; });
        if (at == body.end()) {
            return false;
        }
        auto before = static_cast<std::size_t>(at - body.begin());
        if (is(body.substr(0, before), body.substr(before + phrase.size()))) {
            return true;
        }
    }
}

bool is_code(std::string_view before, std::string_view after) noexcept {
    return after.starts_with('"') && begins_member(before, kCodeMembers);
}

bool is_message(std::string_view before, std::string_view) noexcept {
    constexpr std::string_view kBlanks = " \t\r\n\xEF\xBB\xBF";
    before.remove_prefix(
        std::min(before.find_first_not_of(kBlanks), before.size()));
    auto tag = before;
    trim_end(tag);
    bool is_html = tag.starts_with('<') && tag.ends_with('>');
    return before.empty() || is_html || begins_member(before, kMessageMembers);
}

}  // namespace

bool says_credential_is_bad(std::string_view body) noexcept {
    return std::any_of(
               kCodes.begin(), kCodes.end(),
               [body](auto code) { return any_place(body, code, is_code); }) ||
           std::any_of(kMessages.begin(), kMessages.end(),
                       [body](auto message) {
                           return any_place(body, message, is_message);
                       });
}

bool is_name_of_bad_credential(std::string_view name) noexcept {
    return is_one_of(name, kCodes);
}

bool is_message_of_bad_credential(std::string_view message) noexcept {
    return is_one_of(message, kBadRequestMessages);
}

bool is_text_of_bad_credential(std::string_view error) noexcept {
    return std::any_of(kBadRequestErrors.begin(), kBadRequestErrors.end(),
                       [error](auto begin) {
                           return equals_ignoring_case(
                               error.substr(0, begin.size()), begin);
                       });
}

bool error_says_credential_is_bad(std::string_view body) noexcept {
    enum : std::uint8_t { kName = 1, kMessage, kError };
    constexpr static std::array<JsonMember, 4> error_members{{
        {"type", kName},
        {"code", kName},
        {"status", kName},
        {"message", kMessage},
    }};
    constexpr static JsonShape error{error_members};
    constexpr static std::array<JsonMember, 1> members{
        {{"error", kError, &error}}};
    constexpr static JsonShape document{members};

    auto all = body;
    auto begin = body.find_first_not_of(" \t\r\n");
    bool is_json =
        begin != body.npos && (body[begin] == '{' || body[begin] == '[');
    JsonScan scan{document};
    while (auto value = scan.next(body)) {
        auto text = value->text;
        bool found = value->field == kName ? is_name_of_bad_credential(text)
                     : value->field == kMessage
                         ? is_message_of_bad_credential(text)
                         : is_text_of_bad_credential(text);
        if (found) {
            return true;
        }
    }
    // Google's has it in one of its details. Where what is repeated is in a
    // text, its quotes are escaped.
    return is_json && any_place(all, kBadRequestReason, is_code);
}

ErrorName name_of_error(std::string_view body) noexcept {
    enum : std::uint8_t { kCode = 1, kType };
    constexpr static std::array<JsonMember, 3> error_members{{
        {"code", kCode},
        {"type", kType},
        {"status", kType},
    }};
    constexpr static JsonShape error{error_members};
    constexpr static std::array<JsonMember, 1> members{{{"error", 0, &error}}};
    constexpr static JsonShape document{members};

    ErrorName name;
    bool is_code = false;
    JsonScan scan{document};
    while (auto value = scan.next(body)) {
        if (value->kind == JsonKind::text && !is_code &&
            name.set(value->text)) {
            is_code = value->field == kCode;
        }
    }
    return name;
}

}  // namespace keystile
