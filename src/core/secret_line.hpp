// SecretLine: a credential as it goes upstream, one complete header line
// ("Authorization: Bearer sk-...\r\n") in locked, read-only memory. Others may
// follow it that belong to the credential (codex_auth.hpp).
//
// SecretDraft is the same line while it is being made. The content of a
// credential file is read straight to where the value of the header belongs,
// and is tidied up in place: no byte of it is ever held anywhere else.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "locked_memory.hpp"
#include "result.hpp"
#include "secret_file_error.hpp"

namespace keystile {

// Requires: name is a token, prefix is a field value (RFC 9110 5.5, 5.6.2);
// the prefix includes the space after a scheme. Views need not outlive calls.
struct HeaderLineFormat {
    std::string_view name;    // "Authorization"
    std::string_view prefix;  // "Bearer "
};

// What a key may consist of.
constexpr bool is_key_char(char c) noexcept { return c > 0x20 && c < 0x7F; }

class SecretLine {
public:
    // The views hold as long as the SecretLine, and over its being moved.
    [[nodiscard]] std::string_view line() const noexcept {
        return memory_.view(size_);
    }
    // The key alone, without name and prefix.
    [[nodiscard]] std::string_view value() const noexcept {
        return line().substr(value_offset_, value_size_);
    }

    // Where the line is, for a log: "secret memory (memfd_secret)" or "locked
    // memory (mlock)".
    [[nodiscard]] std::string_view backing() const noexcept {
        return memory_.backing() == LockedMemory::Backing::secret
                   ? "secret memory (memfd_secret)"
                   : "locked memory (mlock)";
    }

    // See LockedMemory.
    [[nodiscard]] bool lock_again() const noexcept {
        return memory_.lock_again();
    }

private:
    friend class CodexAuthDraft;
    friend class SecretDraft;

    SecretLine(LockedMemory memory, std::size_t size, std::size_t value_offset,
               std::size_t value_size) noexcept
        : memory_{std::move(memory)},
          size_{size},
          value_offset_{value_offset},
          value_size_{value_size} {}

    LockedMemory memory_;
    std::size_t size_;
    std::size_t value_offset_;
    std::size_t value_size_;
};

class SecretDraft {
public:
    // The most a credential file may hold, in bytes.
    static constexpr std::size_t kMaxContent = 16384;

    static Result<SecretDraft, SecretFileError> create(
        const HeaderLineFormat &format) noexcept;

    // Where to read the content to: kMaxContent bytes and one more, so that
    // a reader sees that there was too much.
    [[nodiscard]] std::span<std::byte> content() noexcept;

    // Makes the first `size` bytes of the content a header line, by the rules
    // of secret_file.hpp. Sets scheme_removed if "Bearer " or "token " stood
    // before the key. Requires size <= content().size().
    Result<SecretLine, SecretFileError> finish(
        std::size_t size, bool &scheme_removed) &&noexcept;

private:
    SecretDraft(LockedMemory memory, std::size_t value_offset) noexcept
        : memory_{std::move(memory)}, value_offset_{value_offset} {}

    LockedMemory memory_;
    std::size_t value_offset_;
};

}  // namespace keystile
