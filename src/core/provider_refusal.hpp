// Telling a provider's refusal of the *credential* from its refusal of the
// *request*. Providers echo parts of a key they do not accept, and also what a
// caller has written: no body of a refusal reaches the client, since one that
// did, unless it repeats the key, would tell who guesses parts of the key and
// has them repeated which are right.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "ascii.hpp"

namespace keystile {

// Whether the body of a 403, or its beginning, says that the credential is
// not accepted. Compares the error types, codes and phrases that OpenAI,
// Azure, Anthropic and Google use, ignoring case, where such a thing is said:
// anywhere else it may be what the caller wrote, a model's name say, that is
// repeated. It does not parse JSON, since refusals also come as HTML and plain
// text from what stands in front of a provider.
bool says_credential_is_bad(std::string_view body) noexcept;

// The same of a 400, by which Google and xAI refuse a key. Most are about the
// request, and repeat what they like of it: it counts only where the error
// itself is named so, or says no more than that.
bool error_says_credential_is_bad(std::string_view body) noexcept;

// The same of an error by its parts: by what its type, code or status is; by
// its message; and by the error itself, where that is a text. At most the first
// 64 bytes of each are needed.
bool is_name_of_bad_credential(std::string_view name) noexcept;
bool is_message_of_bad_credential(std::string_view message) noexcept;
bool is_text_of_bad_credential(std::string_view error) noexcept;

// What a provider calls an error: letters and "_" alone, as all of them write
// what is a name, and no key is. Empty where it is anything else.
class ErrorName {
public:
    // False, and nothing changes, if the text is no such name.
    bool set(std::string_view text) noexcept {
        bool is_name = !text.empty() && text.size() <= bytes_.size() &&
                       all<is_letter>(text);
        if (is_name) {
            std::copy(text.begin(), text.end(), bytes_.begin());
            size_ = text.size();
        }
        return is_name;
    }
    std::string_view view() const noexcept { return {bytes_.data(), size_}; }

private:
    static constexpr bool is_letter(char c) noexcept {
        return is_alpha(c) || c == '_';
    }

    std::array<char, 48> bytes_;
    std::size_t size_ = 0;
};

// Of the error in a body, or in its beginning: its code, or else its type or
// status.
ErrorName name_of_error(std::string_view body) noexcept;

}  // namespace keystile
