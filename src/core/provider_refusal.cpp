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
constexpr std::array<std::string_view, 2> kBadRequestMessages{
    "api key not valid. please pass a valid api key.",
    "api key expired. please renew the api key.",
};
constexpr std::string_view kBadRequestError = "incorrect api key provided: ";

constexpr std::array<std::string_view, 4> kMessageMembers{
    "\"message\"", "\"detail\"", "\"error\"", "\"title\""};

void trim_end(std::string_view &text) noexcept {
    auto last = text.find_last_not_of(" \t\r\n");
    text = text.substr(0, last + 1);
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

constexpr bool is_lower(char c) noexcept { return c >= 'a' && c <= 'z'; }

constexpr bool is_lower_or_digit(char c) noexcept {
    return is_lower(c) || is_digit(c);
}

// The length of what is no secret: what all keys of a kind begin with, as
// "sk-proj-" and "AIza", and of a JWT all but its signature. Who knows it could
// have a provider repeat guesses of what comes next, a byte at a time, and see
// from what becomes of the reply which is right. None where little is left. A
// key of random words, as a UUID is, has no such beginning.
std::size_t public_part(std::string_view secret) noexcept {
    constexpr std::string_view kGoogle = "AIza";
    constexpr std::string_view kJwt = "eyJ";
    constexpr std::size_t kLongestWord = 8;
    constexpr std::size_t kLongestNumbered = 5;  // "api03"
    constexpr std::size_t kLeastSecret = 16;
    constexpr int kMostWords = 3;

    std::size_t size = secret.starts_with(kGoogle) ? kGoogle.size() : 0;
    if (secret.starts_with(kJwt)) {
        size = secret.rfind('.') + 1;  // 0 where there is none
    }
    for (int i = 0; i < kMostWords; i++) {
        auto end = std::min(secret.find_first_of("-_", size), secret.size());
        auto word = secret.substr(size, end - size);
        bool is_plain = all<is_lower>(word);
        bool is_numbered = i != 0 && word.size() <= kLongestNumbered &&
                           all<is_lower_or_digit>(word);
        if (end == secret.size() || word.size() > kLongestWord ||
            !(is_plain || is_numbered)) {
            break;
        }
        size = end + 1;
    }
    return secret.size() - size < kLeastSecret ? 0 : size;
}

// The runs of a secret, a bit for each: what has no bit is none of them. A
// token of a login has thousands, and what is searched may be long.
class Runs {
public:
    explicit Runs(std::string_view secret) noexcept {
        for (std::size_t i = 0; i + kTellingRun <= secret.size(); i++) {
            auto place = place_of(secret.data() + i);
            bits_[place / 64] |= std::uint64_t{1} << place % 64;
        }
    }
    bool may_hold(const char *run) const noexcept {
        auto place = place_of(run);
        return (bits_[place / 64] >> place % 64 & 1U) != 0;
    }

private:
    static constexpr unsigned kPlaceBits = 16;

    static std::size_t place_of(const char *run) noexcept {
        constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15;
        std::uint64_t bytes = 0;
        std::copy_n(run, kTellingRun, reinterpret_cast<char *>(&bytes));
        return bytes * kFactor >> (64 - kPlaceBits);
    }

    std::array<std::uint64_t, (1U << kPlaceBits) / 64> bits_{};
};

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

    JsonScan scan{document};
    while (auto value = scan.next(body)) {
        auto text = value->text;
        auto is_it = [text](auto known) {
            return equals_ignoring_case(text, known);
        };
        bool found =
            value->field == kName
                ? std::any_of(kCodes.begin(), kCodes.end(), is_it)
            : value->field == kMessage
                ? std::any_of(kBadRequestMessages.begin(),
                              kBadRequestMessages.end(), is_it)
                : equals_ignoring_case(text.substr(0, kBadRequestError.size()),
                                       kBadRequestError);
        if (found) {
            return true;
        }
    }
    return false;
}

bool repeats_secret(std::string_view body, std::string_view secret) noexcept {
    secret.remove_prefix(public_part(secret));
    const Runs runs{secret};
    for (std::size_t i = 0; i + kTellingRun <= body.size(); i++) {
        if (runs.may_hold(body.data() + i) &&
            secret.find(body.substr(i, kTellingRun)) !=
                std::string_view::npos) {
            return true;
        }
    }
    return false;
}

bool SecretGuard::pass(std::string_view piece,
                       std::string_view secret) noexcept {
    // Where the pieces meet: what was kept, and as much of the new one.
    std::array<char, 2 * (kTellingRun - 1)> seam;
    auto head = piece.substr(0, kTellingRun - 1);
    auto *end = std::copy_n(tail_.begin(), tail_size_, seam.begin());
    end = std::copy(head.begin(), head.end(), end);
    std::string_view joined{seam.data(),
                            static_cast<std::size_t>(end - seam.data())};
    if (repeats_secret(joined, secret) || repeats_secret(piece, secret)) {
        return false;
    }

    auto last = piece.size() >= tail_.size() ? piece : joined;
    last.remove_prefix(last.size() - std::min(last.size(), tail_.size()));
    std::copy(last.begin(), last.end(), tail_.begin());
    tail_size_ = last.size();
    return true;
}

}  // namespace keystile
