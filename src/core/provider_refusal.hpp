// Telling a provider's refusal of the *credential* from its refusal of the
// *request*. Providers echo parts of a key they do not accept, so a reply of
// the first kind never reaches the client.

#pragma once

#include <array>
#include <cstddef>
#include <string_view>

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

// A run of a secret that is worth hiding, and too long to be there by chance
// in an error message.
inline constexpr std::size_t kTellingRun = 6;

// Whether `body` repeats kTellingRun or more bytes in a row of what is secret
// in `secret`: not what all keys of its kind begin with, as anyone knows that,
// nor what a JWT says before its signature.
bool repeats_secret(std::string_view body, std::string_view secret) noexcept;

// The same for a body that comes in pieces.
class SecretGuard {
public:
    // False once the pieces so far, this one included, repeat the secret.
    bool pass(std::string_view piece, std::string_view secret) noexcept;

private:
    std::array<char, kTellingRun - 1> tail_{};  // of the pieces so far
    std::size_t tail_size_ = 0;
};

}  // namespace keystile
