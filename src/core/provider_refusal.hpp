// Telling a provider's refusal of the *credential* from its refusal of the
// *request*. Providers echo parts of a key they do not accept, so a reply of
// the first kind never reaches the client.

#pragma once

#include <string_view>

namespace keystile {

// Whether the body of a 403, or its beginning, says that the credential is
// not accepted. Compares the error types, codes and phrases that OpenAI,
// Azure, Anthropic and Google use, ignoring case; it does not parse JSON,
// since refusals also come as HTML and plain text from what stands in front
// of a provider.
bool says_credential_is_bad(std::string_view body) noexcept;

// Whether `body` repeats a run of 6 or more bytes of `secret`: enough to be
// worth hiding, too much to be chance in an error message.
bool repeats_secret(std::string_view body, std::string_view secret) noexcept;

}  // namespace keystile
