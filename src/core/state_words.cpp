#include "state_words.hpp"

#include <algorithm>

#include "ascii.hpp"

namespace keystile::state_words {

std::array<char, 64> hex_of(const Sha256Digest &digest) noexcept {
    constexpr std::string_view digits = "0123456789abcdef";
    std::array<char, 64> hex;
    for (std::size_t i = 0; i < digest.size(); i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    return hex;
}

std::string_view cut(std::string_view &text, char end) noexcept {
    auto at = std::min(text.find(end), text.size());
    auto part = text.substr(0, at);
    text.remove_prefix(std::min(at + 1, text.size()));
    return part;
}

bool read_head(std::string_view line, StateHead &head) noexcept {
    StateWords words{line};
    std::string_view word;
    return words.word(word) && words.word(word) &&
           words.number(head.generation) && words.number(head.saved_at) &&
           words.number(head.counted_since) && words.at_end();
}

bool StateWords::word(std::string_view &word) noexcept {
    word = cut(rest_, ' ');
    return !word.empty();
}

bool StateWords::numbers(std::span<std::uint64_t> values) noexcept {
    for (auto &value : values) {
        if (!number(value)) {
            return false;
        }
    }
    return true;
}

bool StateWords::one_of(std::span<const std::string_view> words,
                        std::size_t &index) noexcept {
    std::string_view text;
    if (!word(text)) {
        return false;
    }
    auto found = std::find(words.begin(), words.end(), text);
    index = static_cast<std::size_t>(found - words.begin());
    return found != words.end();
}

bool StateWords::name(std::span<char> room, std::string_view &name) noexcept {
    std::string_view text;
    if (!word(text)) {
        return false;
    }
    std::size_t size = 0;
    for (std::size_t i = 0; text != kNoName && i < text.size(); i++) {
        auto byte = static_cast<unsigned char>(text[i]);
        if (byte == '%') {
            int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
            int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return false;
            }
            byte = static_cast<unsigned char>(high << 4 | low);
            i += 2;
        }
        if (size == room.size()) {
            return false;
        }
        room[size++] = static_cast<char>(byte);
    }
    name = {room.data(), size};
    return true;
}

}  // namespace keystile::state_words
