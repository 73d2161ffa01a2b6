// keystile_credential.

#include "ngx_http_keystile_directives.hpp"

#include "core/ascii.hpp"
#include "core/codex_auth.hpp"
#include "core/key_header.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_credential_source.hpp"
#include "ngx_http_keystile_credential_states.hpp"

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

// What the words of the directive say.
struct Words {
    CredentialSource source{.format = kStyles[0].format};
    bool has_style = false;
    bool has_header = false;
    bool has_prefix = false;
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
            words.source.format = style.format;
            words.has_style = true;
            return nullptr;
        }
    }
    return "expected \"bearer\", \"x-api-key\", \"api-key\" or "
           "\"x-goog-api-key\"";
}

const char *take_header(Words &words, std::string_view name) noexcept {
    if (has_other_meaning(name)) {
        return "this header cannot carry a credential";
    }
    if (!is_token(name)) {
        return "expected a header name";
    }
    words.source.format.name = name;
    if (!words.has_prefix) {
        words.source.format.prefix = "";
    }
    words.has_header = true;
    return nullptr;
}

const char *take_prefix(Words &words, std::string_view prefix) noexcept {
    if (!is_field_value(prefix)) {
        return "it holds a control byte";
    }
    words.source.format.prefix = prefix;
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
        words.source.relaxed = value == "relaxed";
        return nullptr;
    }
    if (word == "format=raw" || word == "format=codex-auth") {
        words.source.codex_auth = value == "codex-auth";
        return nullptr;
    }
    return word.starts_with("format=") ? "expected \"raw\" or \"codex-auth\""
                                       : "unknown option";
}

// What is wrong with the options together.
const char *contradiction(const Words &words) noexcept {
    bool has_form = words.has_style || words.has_header || words.has_prefix;
    if (words.source.codex_auth && has_form) {
        return "\"format=codex-auth\" knows its headers: \"style=\", "
               "\"header=\" and \"prefix=\" do not go with it";
    }
    if (words.source.codex_auth && ngx::view(*words.source.file) == "-") {
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
    words.source.name = &args[1];
    words.source.file = &args[2];
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

// What is wrong with the name of one more credential.
const char *misnamed(const MainConf &conf, std::string_view name) noexcept {
    if (name == kPassthrough || name == kOff) {
        return "the name has a meaning of its own";
    }
    for (auto *other : ngx::elements<Credential *>(&conf.credentials)) {
        if (ngx::view(other->name) == name) {
            return "there is a credential of that name";
        }
    }
    return nullptr;
}

}  // namespace

char *set_credential(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<MainConf *>(data);
    Words words{};
    if (char *rv = take_words(cf, words); rv != NGX_CONF_OK) {
        return rv;
    }
    if (const char *why = misnamed(conf, ngx::view(*words.source.name))) {
        return fail(cf, *words.source.name, why);
    }
    if (conf.credentials.nelts == kMostCredentials) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "more than %uz \"keystile_credential\"",
                           kMostCredentials);
        return ngx::conf_error();
    }

    auto *credential = ngx::make<Credential>(cf->pool);
    auto **slot =
        credential == nullptr
            ? nullptr
            : static_cast<Credential **>(ngx_array_push(&conf.credentials));
    if (slot == nullptr) {
        return ngx::conf_error();
    }
    *slot = credential;
    credential->name = *words.source.name;
    credential->header = ngx::str(words.source.format.name);
    credential->to = words.to;
    credential->file_name = cf->conf_file->file.name.data;
    credential->file_line = cf->conf_file->line;
    if (words.source.codex_auth) {
        credential->more_headers = kCodexAuthHeaders;
    }
    return read_credential(cf, words.source, *credential) == NGX_OK &&
                   note_key_header(conf, words.source.format.name)
               ? NGX_CONF_OK
               : ngx::conf_error();
}

}  // namespace keystile
