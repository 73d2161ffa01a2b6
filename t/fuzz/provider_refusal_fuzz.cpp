// Any body of a refusal: what a caller wrote, and a provider repeats in a text,
// never counts as what the provider says itself; and what is told of an error is
// never more than a name. And any headers beside it: a credential rests for a
// time within bounds.

#include "provider_refusal.hpp"

#include <algorithm>
#include <limits>
#include <string>

#include "ascii.hpp"
#include "check.hpp"
#include "cooldown.hpp"

namespace keystile {
namespace {

std::string quoted(std::string_view text) {
    constexpr std::string_view digits = "0123456789abcdef";
    std::string quoted{'"'};
    for (char c : text) {
        auto byte = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            quoted += {'\\', c};
        } else if (byte < 0x20) {
            quoted += "\\u00";
            quoted += digits[byte / 16U];
            quoted += digits[byte % 16U];
        } else {
            quoted += c;
        }
    }
    return quoted + '"';
}

void check_name(std::string_view body) {
    auto error = name_of_error(body);
    auto name = error.view();
    check(std::all_of(name.begin(), name.end(),
                      [](char c) { return is_alpha(c) || c == '_'; }),
          "a name is of letters");
}

void check_case(std::string_view body) {
    std::string small{body};
    std::transform(small.begin(), small.end(), small.begin(),
                   [](char c) { return lower(c); });
    check(says_credential_is_bad(small) == says_credential_is_bad(body),
          "case makes no difference");
}

void check_beginnings(std::string_view text) {
    auto begin = text.substr(0, 64);
    check(is_name_of_bad_credential(begin) == is_name_of_bad_credential(text),
          "64 bytes of a name are enough");
    check(is_message_of_bad_credential(begin) ==
              is_message_of_bad_credential(text),
          "64 bytes of a message are enough");
    check(is_text_of_bad_credential(begin) == is_text_of_bad_credential(text),
          "64 bytes of a text are enough");
}

void check_repeated(std::string_view text) {
    for (const auto *ends :
         {R"(,"type":"invalid_request_error","code":"model_not_found"}})",
          R"(,"type":"invalid_request_error","param":null}})", "}}", ""}) {
        auto body =
            R"({"error":{"message":)" +
            quoted("The model '" + std::string{text} + "' is no model") + ends;
        check(!says_credential_is_bad(body),
              "a 403 that repeats what it likes");
        check(!error_says_credential_is_bad(body),
              "a 400 that repeats what it likes");
        auto error = name_of_error(body);
        auto name = error.view();
        check(name.empty() || name == "model_not_found" ||
                  name == "invalid_request_error",
              "the name is the provider's");
    }
    auto param = R"({"error":{"param":)" + quoted(text) + "}}";
    check(!error_says_credential_is_bad(param), "the name of a member");
}

void check_cooldown(std::string_view block) {
    constexpr std::int64_t now = 1'790'000'000;
    for (std::int64_t date : {std::int64_t{-1}, std::int64_t{0}, now + 90,
                              std::numeric_limits<std::int64_t>::max()}) {
        CooldownHeaders headers;
        for_each_header(block,
                        [&](std::string_view name, std::string_view value) {
                            headers.see(name, trim(value), date, now);
                        });
        auto until = headers.until(60, now);
        check(until > now && until <= now + kLongestCooldown,
              "from a second to a month");
    }
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    auto text = text_of(bytes, size);
    keystile::check_name(text);
    keystile::check_case(text);
    keystile::check_beginnings(text);
    keystile::check_repeated(text);
    keystile::check_cooldown(text);
    static_cast<void>(keystile::error_says_credential_is_bad(text));
    return 0;
}
