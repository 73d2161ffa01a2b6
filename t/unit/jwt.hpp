// Tokens for the tests of those who read them; nobody has signed them.

#pragma once

#include <string>
#include <string_view>

namespace keystile {

inline std::string base64url(std::string_view bytes) {
    constexpr std::string_view digits{
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"};
    std::string text;
    unsigned bits = 0;
    int held = 0;
    for (char c : bytes) {
        bits = bits << 8 | static_cast<unsigned char>(c);
        for (held += 8; held >= 6; held -= 6) {
            text += digits[bits >> (held - 6) & 63];
        }
    }
    if (held > 0) {
        text += digits[bits << (6 - held) & 63];
    }
    return text;
}

inline std::string jwt(std::string_view payload) {
    return base64url(R"({"alg":"RS256"})") + '.' + base64url(payload) +
           ".c2lnbmF0dXJl";
}

// With these members of OpenAI's own claim.
inline std::string openai_jwt(const std::string &members,
                              const std::string &others = "") {
    return jwt(R"({"https://api.openai.com/auth":{)" + members + "}" + others +
               "}");
}

}  // namespace keystile
