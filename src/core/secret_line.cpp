#include "secret_line.hpp"

#include <string.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "ascii.hpp"
#include "placeholder.hpp"

namespace keystile {
namespace {

using Rule = SecretFileError::Rule;

constexpr std::string_view kNameSeparator = ": ";
constexpr std::string_view kLineEnd = "\r\n";

void append(char *&to, std::string_view text) noexcept {
    to = std::copy(text.begin(), text.end(), to);
}

std::string_view without_line_end(std::string_view content) noexcept {
    if (content.ends_with('\n')) {
        content.remove_suffix(1);
        if (content.ends_with('\r')) {
            content.remove_suffix(1);
        }
    }
    return content;
}

std::string_view without_scheme(std::string_view content) noexcept {
    constexpr std::array<std::string_view, 2> schemes{"Bearer ", "token "};

    for (auto scheme : schemes) {
        if (equals_ignoring_case(content.substr(0, scheme.size()), scheme)) {
            content.remove_prefix(scheme.size());
            content.remove_prefix(
                std::min(content.find_first_not_of(' '), content.size()));
            return content;
        }
    }
    return content;
}

// The first rule that the key breaks.
std::optional<Rule> broken_rule(std::string_view key) noexcept {
    if (key.empty()) {
        return Rule::not_empty;
    }
    if (key.find_first_of("\r\n") != std::string_view::npos) {
        return Rule::one_line;
    }
    if (!std::all_of(key.begin(), key.end(), is_key_char)) {
        return Rule::characters;
    }
    if (is_known_placeholder(key)) {
        return Rule::not_placeholder;
    }
    return std::nullopt;
}

}  // namespace

Result<SecretDraft, SecretFileError> SecretDraft::create(
    const HeaderLineFormat &format) noexcept {
    auto value_offset =
        format.name.size() + kNameSeparator.size() + format.prefix.size();

    auto memory =
        LockedMemory::create(value_offset + kMaxContent + 1 + kLineEnd.size());
    if (!memory) {
        return SecretFileError{Rule::lockable_memory, memory.error()};
    }

    auto at = reinterpret_cast<char *>(memory->writable().data());
    append(at, format.name);
    append(at, kNameSeparator);
    append(at, format.prefix);
    return SecretDraft{std::move(*memory), value_offset};
}

std::span<std::byte> SecretDraft::content() noexcept {
    return memory_.writable().subspan(value_offset_, kMaxContent + 1);
}

Result<SecretLine, SecretFileError> SecretDraft::finish(
    std::size_t size, bool &scheme_removed) &&noexcept {
    if (size > kMaxContent) {
        return SecretFileError{Rule::size_limit};
    }

    auto start = reinterpret_cast<char *>(content().data());
    auto line = without_line_end({start, size});
    auto key = without_scheme(line);
    if (auto rule = broken_rule(key)) {
        return SecretFileError{*rule};
    }
    if (key.size() != line.size()) {
        scheme_removed = true;
    }

    auto value_size = key.size();
    memmove(start, key.data(), value_size);
    auto end = start + value_size;
    append(end, kLineEnd);

    // What the key was moved away from still holds the end of it.
    auto pages = memory_.writable();
    auto used = value_offset_ + value_size + kLineEnd.size();
    explicit_bzero(pages.data() + used, pages.size() - used);

    if (!memory_.seal()) {
        return SecretFileError{Rule::lockable_memory, errno};
    }
    return SecretLine{std::move(memory_), used, value_offset_, value_size};
}

}  // namespace keystile
