#include "placeholder.hpp"

#include <algorithm>
#include <array>

#include "ascii.hpp"

namespace keystile {
namespace {

// What sandboxes, manuals and broken scripts write.
constexpr std::array<std::string_view, 8> kKnownPlaceholders{
    "dummy-byok-key-for-offline-mode",
    "ghu_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "change-me",
    "change_me",
    "changeme",
    "null",
    "todo",
    "undefined",
};

// What no real key contains.
constexpr std::array<std::string_view, 9> kTelltales{
    "placeholder", "your-api-key", "your_api_key",    "yourapikey", "your-key",
    "your_key",    "your-openai-", "your-anthropic-", "insert-key",
};

bool contains_ignoring_case(std::string_view text,
                            std::string_view part) noexcept {
    return std::search(text.begin(), text.end(), part.begin(), part.end(),
                       [](char a, char b) { return lower(a) == lower(b); }) !=
           text.end();
}

// "sk-xxxx", "sk-proj-XXXXXXXX", "****": nothing but one filler, after what
// says which kind of key belongs there.
bool is_filler(std::string_view key) noexcept {
    constexpr std::string_view fillers{"xX*"};

    auto body = key.substr(key.rfind('-') + 1);  // npos + 1 is 0: all of it
    return body.size() >= 3 &&
           fillers.find(body.front()) != std::string_view::npos &&
           body.find_first_not_of(body.front()) == std::string_view::npos;
}

}  // namespace

bool is_known_placeholder(std::string_view key) noexcept {
    auto is_key = [key](std::string_view known) {
        return equals_ignoring_case(key, known);
    };
    auto is_in_key = [key](std::string_view part) {
        return contains_ignoring_case(key, part);
    };

    return std::any_of(kKnownPlaceholders.begin(), kKnownPlaceholders.end(),
                       is_key) ||
           std::any_of(kTelltales.begin(), kTelltales.end(), is_in_key) ||
           key.ends_with("...") ||
           (key.starts_with('<') && key.ends_with('>')) || is_filler(key);
}

}  // namespace keystile
