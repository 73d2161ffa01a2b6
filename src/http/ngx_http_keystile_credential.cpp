// keystile_credential.

#include "ngx_http_keystile_directives.hpp"

#include <optional>

#include "core/ascii.hpp"
#include "core/process_hardening.hpp"
#include "core/secret_file.hpp"
#include "core/time_left.hpp"
#include "core/timestamp.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

struct Style {
    std::string_view name;
    HeaderLineFormat format;
};

constexpr std::array<Style, 4> kStyles{{
    {"bearer", {"Authorization", "Bearer "}},
    {"x-api-key", {"x-api-key", ""}},
    {"api-key", {"api-key", ""}},
    {"x-goog-api-key", {"x-goog-api-key", ""}},
}};

// Headers of a request that a key must not be put into.
constexpr std::array<std::string_view, 10> kNoCredentialHeaders{
    "host",    "connection", "content-length", "transfer-encoding",
    "upgrade", "te",         "trailer",        "expect",
    "cookie",  "keep-alive",
};

// A key from standard input is read once and outlives every reload. Wiped
// when the process ends.
constinit std::optional<SecretLine> from_stdin;

// What the words of the directive say.
struct Words {
    ngx_str_t *name;
    ngx_str_t *file;
    HeaderLineFormat format = kStyles[0].format;
    bool has_style = false;
    bool has_header = false;
    bool has_prefix = false;
    bool codex_auth = false;
    bool relaxed = false;
    std::span<ngx_str_t> to;
};

char *fail(ngx_conf_t *cf, const ngx_str_t &word, const char *why) noexcept {
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "\"keystile_credential\": invalid \"%V\": %s", &word,
                       why);
    return ngx::conf_error();
}

const char *take_style(Words &words, std::string_view name) noexcept {
    for (const auto &style : kStyles) {
        if (style.name == name) {
            words.format = style.format;
            words.has_style = true;
            return nullptr;
        }
    }
    return "expected \"bearer\", \"x-api-key\", \"api-key\" or "
           "\"x-goog-api-key\"";
}

const char *take_header(Words &words, std::string_view name) noexcept {
    for (auto taken : kNoCredentialHeaders) {
        if (same_header_name(taken, name)) {
            return "this header cannot carry a credential";
        }
    }
    if (!is_token(name)) {
        return "expected a header name";
    }
    words.format.name = name;
    if (!words.has_prefix) {
        words.format.prefix = "";
    }
    words.has_header = true;
    return nullptr;
}

const char *take_prefix(Words &words, std::string_view prefix) noexcept {
    if (!is_field_value(prefix)) {
        return "it holds a control byte";
    }
    words.format.prefix = prefix;
    words.has_prefix = true;
    return nullptr;
}

const char *take_option(Words &words, std::string_view word) noexcept {
    auto value = word.substr(std::min(word.find('=') + 1, word.size()));
    if (word.starts_with("style=")) {
        return take_style(words, value);
    }
    if (word.starts_with("header=")) {
        return take_header(words, value);
    }
    if (word.starts_with("prefix=")) {
        return take_prefix(words, value);
    }
    if (word.starts_with("to=") && !value.empty()) {
        words.to[0] = ngx::str(value);
        return nullptr;
    }
    if (word == "permissions=strict" || word == "permissions=relaxed") {
        words.relaxed = value == "relaxed";
        return nullptr;
    }
    if (word == "format=raw" || word == "format=codex-auth") {
        words.codex_auth = value == "codex-auth";
        return nullptr;
    }
    return word.starts_with("format=") ? "expected \"raw\" or \"codex-auth\""
                                       : "unknown option";
}

// What is wrong with the options together.
const char *contradiction(const Words &words) noexcept {
    bool has_form = words.has_style || words.has_header || words.has_prefix;
    if (words.codex_auth && has_form) {
        return "\"format=codex-auth\" knows its headers: \"style=\", "
               "\"header=\" and \"prefix=\" do not go with it";
    }
    if (words.codex_auth && ngx::view(*words.file) == "-") {
        return "\"format=codex-auth\" needs a file: what is in it expires, "
               "and standard input is read only once";
    }
    if (words.has_style && words.has_header) {
        return "give either \"style=\" or \"header=\"";
    }
    if (words.has_prefix && !words.has_header) {
        return "\"prefix=\" goes with \"header=\"";
    }
    return nullptr;
}

// The options, and the hosts of to= packed at the front of `hosts`.
char *take_words(ngx_conf_t *cf, Words &words) noexcept {
    auto args = ngx::elements<ngx_str_t>(cf->args);
    words.name = &args[1];
    words.file = &args[2];
    auto hosts = ngx::make_array<ngx_str_t>(cf->pool, args.size());
    if (hosts.empty()) {
        return ngx::conf_error();
    }

    std::size_t count = 0;
    for (auto &word : args.subspan(3)) {
        words.to = hosts.subspan(count);
        if (const char *why = take_option(words, ngx::view(word))) {
            return fail(cf, word, why);
        }
        count += hosts[count].len != 0;
    }
    words.to = hosts.first(count);

    const char *why = contradiction(words);
    return why == nullptr ? NGX_CONF_OK : fail(cf, args[0], why);
}

void log_error(ngx_conf_t *cf, const Words &words,
               const SecretFileError &error) noexcept {
    auto rule = ngx::str(describe(error.rule));
    const char *what =
        error.component[0] != '\0' ? error.component : "standard input";
    if (error.line != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "credential \"%V\": \"%s\" %V: line %d, column %d",
                           words.name, what, &rule, error.line, error.column);
        return;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, error.error_number,
                       "credential \"%V\": \"%s\" %V", words.name, what,
                       &rule);
}

void log_warnings(ngx_conf_t *cf, const Words &words,
                  const SecretFileWarnings &warnings) noexcept {
    if (warnings.accessible_by_others) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": \"%V\" can be read by others "
                           "than its owner (allowed by "
                           "\"permissions=relaxed\")",
                           words.name, words.file);
    }
    if (warnings.scheme_removed) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": \"%V\" begins with a scheme, "
                           "which was removed; it must hold the key alone",
                           words.name, words.file);
    }
}

bool is_of_format(const SecretLine &line,
                  const HeaderLineFormat &format) noexcept {
    auto rest = line.line();
    for (auto part : {format.name, std::string_view{": "}, format.prefix}) {
        if (!rest.starts_with(part)) {
            return false;
        }
        rest.remove_prefix(part.size());
    }
    return rest.data() == line.value().data();
}

// The line from standard input, read by the first configuration that asks.
const SecretLine *read_stdin(ngx_conf_t *cf, const Words &words) noexcept {
    if (!from_stdin) {
        SecretFileWarnings warnings;
        auto line = read_secret_fd(STDIN_FILENO, words.format, warnings);
        if (!line) {
            log_error(cf, words, line.error());
            return nullptr;
        }
        log_warnings(cf, words, warnings);
        from_stdin.emplace(std::move(*line));
    }
    if (!is_of_format(*from_stdin, words.format)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "credential \"%V\": the header of a key from "
                           "standard input cannot change without a restart",
                           words.name);
        return nullptr;
    }
    return &*from_stdin;
}

// An expired one is no error: the clocks of others may differ, and a reload
// that is about something else must not fail. Health and logs go on about it.
void log_expiry(ngx_conf_t *cf, const Words &words,
                std::int64_t expires) noexcept {
    TimestampText time{expires};
    auto text = ngx::str(time.view());
    auto left = time_left(expires, ngx_time());
    if (left == TimeLeft::none) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": the access token in \"%V\" "
                           "has expired at %V",
                           words.name, words.file, &text);
    } else if (left == TimeLeft::little) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": the access token in \"%V\" "
                           "expires soon, at %V",
                           words.name, words.file, &text);
    }
}

Result<CodexAuth, SecretFileError> read_any(
    const Words &words, const SecretFileOptions &options,
    SecretFileWarnings &warnings) noexcept {
    auto *path = reinterpret_cast<const char *>(words.file->data);
    if (words.codex_auth) {
        return read_codex_auth_file(path, options, warnings);
    }
    auto line = read_secret_file(path, words.format, options, warnings);
    if (!line) {
        return line.error();
    }
    return CodexAuth{std::move(*line), 0};
}

const SecretLine *read_file(ngx_conf_t *cf, const Words &words,
                            std::int64_t &expires) noexcept {
    if (ngx_conf_full_name(cf->cycle, words.file, 1) != NGX_OK) {
        return nullptr;
    }
    SecretFileOptions options{.relaxed = words.relaxed, .owner = geteuid()};
    SecretFileWarnings warnings;
    auto read = read_any(words, options, warnings);
    if (!read) {
        log_error(cf, words, read.error());
        return nullptr;
    }
    log_warnings(cf, words, warnings);
    log_expiry(cf, words, read->expires);
    expires = read->expires;
    return ngx::make_owned<SecretLine>(cf->pool, std::move(read->lines));
}

}  // namespace

char *set_credential(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<MainConf *>(data);
    Words words{};
    if (char *rv = take_words(cf, words); rv != NGX_CONF_OK) {
        return rv;
    }
    if (ngx::view(*words.name) == kPassthrough) {
        return fail(cf, *words.name, "the name has a meaning of its own");
    }
    for (auto *other : ngx::elements<Credential *>(&conf.credentials)) {
        if (ngx::view(other->name) == ngx::view(*words.name)) {
            return fail(cf, *words.name, "there is a credential of that name");
        }
    }

    // Before the key is in memory, and whatever "keystile_harden" will say.
    if (int error = forbid_dumping(); error != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, error,
                           "prctl(PR_SET_DUMPABLE) failed");
        return ngx::conf_error();
    }

    // "nginx -s" reads the configuration too, and "nginx -t" may be run by
    // hand: neither may wait for, or eat, what is on standard input.
    bool stdin_wanted = ngx::view(*words.file) == "-";
    bool reads = !stdin_wanted ||
                 (ngx_process != NGX_PROCESS_SIGNALLER && !ngx_test_config);
    const SecretLine *secret = nullptr;
    std::int64_t expires = 0;
    if (reads) {
        secret = stdin_wanted ? read_stdin(cf, words)
                              : read_file(cf, words, expires);
        if (secret == nullptr) {
            return ngx::conf_error();
        }
    }

    auto *credential = ngx::make<Credential>(cf->pool);
    auto **slot =
        credential == nullptr
            ? nullptr
            : static_cast<Credential **>(ngx_array_push(&conf.credentials));
    if (slot == nullptr) {
        return ngx::conf_error();
    }
    credential->name = *words.name;
    credential->header = ngx::str(words.format.name);
    credential->to = words.to;
    credential->secret = secret;
    credential->expires = expires;
    if (words.codex_auth) {
        credential->more_headers = kCodexAuthHeaders;
    }
    *slot = credential;
    return note_key_header(conf, words.format.name) ? NGX_CONF_OK
                                                    : ngx::conf_error();
}

}  // namespace keystile
