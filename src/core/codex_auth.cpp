#include "codex_auth.hpp"

#include <string.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "ascii.hpp"
#include "json_member_span.hpp"
#include "json_position.hpp"
#include "jwt_claims.hpp"
#include "placeholder.hpp"

namespace keystile {
namespace {

using Kind = JsonMemberSpan::Kind;
using Rule = SecretFileError::Rule;

constexpr std::size_t kMaxAccount = 256;

// The lines without what is in the file, and an account.
constexpr std::size_t kMostAdded = 512;

// The memory of a draft: the lines, the content, and room for the claims of a
// token.
constexpr std::size_t content_offset(std::size_t size) noexcept {
    return kMostAdded + size;
}
constexpr std::size_t claims_offset(std::size_t size) noexcept {
    return content_offset(size) + size + 1;
}

std::string_view as_text(std::span<const std::byte> bytes) noexcept {
    return {reinterpret_cast<const char *>(bytes.data()), bytes.size()};
}

SecretFileError error_of(const JsonFault &fault,
                         std::string_view text) noexcept {
    using Fault = JsonFault::Kind;

    auto position = position_at(text, fault.offset);
    SecretFileError error{Rule::json};
    error.line = position.line;
    error.column = position.column;
    if (fault.kind == Fault::depth) {
        error.rule = Rule::json_depth;
    } else if (fault.kind == Fault::no_object) {
        error.rule = Rule::json_object;
    } else if (fault.kind == Fault::doubled) {
        error.rule = Rule::json_doubled;
    }
    return error;
}

bool is_there(const JsonMemberSpan &member) noexcept {
    return member.kind != Kind::absent && member.kind != Kind::null;
}

// "access_token", "id_token", "account_id".
using Tokens = std::array<JsonMemberSpan, 3>;

// Makes the lines of what was found in the file.
class Lines {
public:
    Lines(std::span<char> to, std::span<char> claims_room) noexcept
        : start_{to.data()}, end_{to.data()}, claims_room_{claims_room} {}

    std::optional<Rule> write_key(const JsonMemberSpan &key) noexcept;
    std::optional<Rule> write_tokens(const Tokens &tokens) noexcept;

    std::string_view key() const noexcept { return key_; }
    std::size_t key_offset() const noexcept {
        return static_cast<std::size_t>(key_.data() - start_);
    }
    std::size_t size() const noexcept {
        return static_cast<std::size_t>(end_ - start_);
    }
    std::int64_t expires() const noexcept { return expires_; }

private:
    void put(std::string_view text) noexcept {
        end_ = std::copy(text.begin(), text.end(), end_);
    }
    void take_claims(const JwtClaims &claims) noexcept;
    void write_account(std::string_view quoted) noexcept;

    char *start_;
    char *end_;
    std::span<char> claims_room_;
    std::string_view key_{};
    std::int64_t expires_ = 0;
    bool is_fedramp_ = false;
    bool has_account_ = false;
    bool is_account_bad_ = false;
};

std::optional<Rule> Lines::write_key(const JsonMemberSpan &key) noexcept {
    if (key.value.size() > SecretDraft::kMaxContent) {
        return Rule::token_size;
    }
    put(kCodexAuthFormat.name);
    put(": ");
    put(kCodexAuthFormat.prefix);
    auto *value = end_;
    end_ = JsonBytes{key.value}.write(end_);
    key_ = {value, static_cast<std::size_t>(end_ - value)};
    put("\r\n");
    if (!all<is_key_char>(key_)) {
        return Rule::token_characters;
    }
    return is_known_placeholder(key_) ? std::optional{Rule::not_placeholder}
                                      : std::nullopt;
}

void Lines::write_account(std::string_view quoted) noexcept {
    has_account_ = true;
    is_account_bad_ = quoted.size() > kMaxAccount;
    if (is_account_bad_) {
        return;
    }
    put(kCodexAuthHeaders[0]);
    put(": ");
    auto *value = end_;
    end_ = JsonBytes{quoted}.write(end_);
    is_account_bad_ = !std::all_of(value, end_, is_key_char);
    put("\r\n");
}

// Before the room for claims is used again: the account may be in it.
void Lines::take_claims(const JwtClaims &claims) noexcept {
    is_fedramp_ = is_fedramp_ || claims.is_fedramp;
    if (!has_account_ && !claims.account_id.empty()) {
        write_account(claims.account_id);
    }
}

std::optional<Rule> Lines::write_tokens(const Tokens &tokens) noexcept {
    const auto &[access, id, account] = tokens;
    if (access.kind != Kind::text || access.value.empty()) {
        return Rule::codex_access_token;
    }
    if (auto rule = write_key(access)) {
        return rule;
    }
    if (account.kind == Kind::text && !account.value.empty()) {
        write_account(account.value);
    } else if (is_there(account) && account.kind != Kind::text) {
        return Rule::codex_account;
    }

    if (auto claims = read_jwt_claims(key_, claims_room_)) {
        expires_ = claims->expires;
        take_claims(*claims);
    }
    auto id_token = id.kind == Kind::text ? id.value : std::string_view{};
    if (auto claims = read_jwt_claims(id_token, claims_room_)) {
        take_claims(*claims);
    }
    if (!has_account_ || is_account_bad_) {
        return Rule::codex_account;
    }
    if (is_fedramp_) {
        put(kCodexAuthHeaders[1]);
        put(": true\r\n");
    }
    return std::nullopt;
}

enum class Mode : std::uint8_t { api_key, tokens };

// As Codex tells them apart.
Result<Mode, Rule> mode_of(const JsonMemberSpan &mode,
                           const JsonMemberSpan &api_key) noexcept {
    if (!is_there(mode)) {
        return api_key.kind == Kind::text ? Mode::api_key : Mode::tokens;
    }
    auto is = [&mode](std::string_view name) {
        return mode.kind == Kind::text && JsonBytes{mode.value}.is(name);
    };
    if (is("apikey")) {
        return Mode::api_key;
    }
    if (is("chatgpt") || is("chatgptAuthTokens")) {
        return Mode::tokens;
    }
    if (is("agentIdentity")) {
        return Rule::codex_agent_identity;
    }
    return is("bedrockApiKey") ? Rule::codex_bedrock : Rule::codex_mode;
}

std::optional<SecretFileError> error_of(std::optional<Rule> rule) noexcept {
    return rule ? std::optional{SecretFileError{*rule}} : std::nullopt;
}

std::optional<SecretFileError> write_tokens(std::string_view file,
                                            std::string_view object,
                                            Lines &lines) noexcept {
    Tokens tokens{{{"access_token"}, {"id_token"}, {"account_id"}}};
    if (auto fault = find_json_members(object, tokens)) {
        fault->offset += static_cast<std::size_t>(object.data() - file.data());
        return error_of(*fault, file);
    }
    return error_of(lines.write_tokens(tokens));
}

std::optional<SecretFileError> write_lines(std::string_view file,
                                           Lines &lines) noexcept {
    std::array<JsonMemberSpan, 3> members{
        {{"auth_mode"}, {"OPENAI_API_KEY"}, {"tokens"}}};
    if (auto fault = find_json_members(file, members)) {
        return error_of(*fault, file);
    }
    const auto &[its_mode, api_key, tokens] = members;
    auto mode = mode_of(its_mode, api_key);
    if (!mode) {
        return error_of(mode.error());
    }
    if (*mode == Mode::tokens) {
        return tokens.kind == Kind::object
                   ? write_tokens(file, tokens.value, lines)
                   : error_of(Rule::codex_tokens);
    }
    return error_of(api_key.kind == Kind::text && !api_key.value.empty()
                        ? lines.write_key(api_key)
                        : Rule::codex_api_key);
}

}  // namespace

Result<CodexAuthDraft, SecretFileError> CodexAuthDraft::create(
    std::size_t size) noexcept {
    if (size > kMaxContent) {
        return SecretFileError{Rule::auth_size_limit};
    }
    auto memory = LockedMemory::create(claims_offset(size) + size);
    if (!memory) {
        return SecretFileError{Rule::lockable_memory, memory.error()};
    }
    return CodexAuthDraft{std::move(*memory), size};
}

std::span<std::byte> CodexAuthDraft::content() noexcept {
    return memory_.writable().subspan(content_offset(size_), size_ + 1);
}

Result<CodexAuth, SecretFileError> CodexAuthDraft::finish(
    std::size_t size) &&noexcept {
    auto pages = memory_.writable();
    auto *start = reinterpret_cast<char *>(pages.data());
    Lines lines{{start, content_offset(size_)},
                {start + claims_offset(size_), size_}};
    if (auto error = write_lines(as_text(content().first(size)), lines)) {
        return *error;
    }

    explicit_bzero(pages.data() + lines.size(), pages.size() - lines.size());
    if (!memory_.seal()) {
        return SecretFileError{Rule::lockable_memory, errno};
    }
    return CodexAuth{SecretLine{std::move(memory_), lines.size(),
                                lines.key_offset(), lines.key().size()},
                     lines.expires()};
}

}  // namespace keystile
