#include "ngx_http_keystile_credential_source.hpp"

#include <optional>

#include "core/process_hardening.hpp"
#include "core/secret_file.hpp"
#include "core/time_left.hpp"
#include "core/timestamp.hpp"

namespace keystile {
namespace {

// A key from standard input is read once and outlives every reload. Wiped
// when the process ends.
constinit std::optional<SecretLine> from_stdin;

void log_error(ngx_conf_t *cf, const CredentialSource &source,
               const SecretFileError &error) noexcept {
    auto rule = ngx::str(describe(error.rule));
    const char *what =
        error.component[0] != '\0' ? error.component : "standard input";
    if (error.line != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "credential \"%V\": \"%s\" %V: line %d, column %d",
                           source.name, what, &rule, error.line, error.column);
        return;
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, error.error_number,
                       "credential \"%V\": \"%s\" %V", source.name, what,
                       &rule);
}

void log_warnings(ngx_conf_t *cf, const CredentialSource &source,
                  const SecretFileWarnings &warnings) noexcept {
    if (warnings.accessible_by_others) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": \"%V\" can be read by others "
                           "than its owner (allowed by "
                           "\"permissions=relaxed\")",
                           source.name, source.file);
    }
    if (warnings.scheme_removed) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": \"%V\" begins with a scheme, "
                           "which was removed; it must hold the key alone",
                           source.name, source.file);
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
const SecretLine *read_stdin(ngx_conf_t *cf,
                             const CredentialSource &source) noexcept {
    if (!from_stdin) {
        SecretFileWarnings warnings;
        auto line = read_secret_fd(STDIN_FILENO, source.format, warnings);
        if (!line) {
            log_error(cf, source, line.error());
            return nullptr;
        }
        log_warnings(cf, source, warnings);
        from_stdin.emplace(std::move(*line));
    }
    if (!is_of_format(*from_stdin, source.format)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "credential \"%V\": the header of a key from "
                           "standard input cannot change without a restart",
                           source.name);
        return nullptr;
    }
    return &*from_stdin;
}

// An expired one is no error: the clocks of others may differ, and a reload
// that is about something else must not fail. Health and logs go on about it.
void log_expiry(ngx_conf_t *cf, const CredentialSource &source,
                std::int64_t expires) noexcept {
    TimestampText time{expires};
    auto text = ngx::str(time.view());
    auto left = time_left(expires, ngx_time());
    if (left == TimeLeft::none) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": the access token in \"%V\" "
                           "has expired at %V",
                           source.name, source.file, &text);
    } else if (left == TimeLeft::little) {
        ngx_conf_log_error(NGX_LOG_WARN, cf, 0,
                           "credential \"%V\": the access token in \"%V\" "
                           "expires soon, at %V",
                           source.name, source.file, &text);
    }
}

Result<CodexAuth, SecretFileError> read_any(
    const CredentialSource &source, const SecretFileOptions &options,
    SecretFileWarnings &warnings) noexcept {
    auto *path = reinterpret_cast<const char *>(source.file->data);
    if (source.codex_auth) {
        return read_codex_auth_file(path, options, warnings);
    }
    auto line = read_secret_file(path, source.format, options, warnings);
    if (!line) {
        return line.error();
    }
    return CodexAuth{std::move(*line), 0};
}

const SecretLine *read_file(ngx_conf_t *cf, const CredentialSource &source,
                            std::int64_t &expires) noexcept {
    if (ngx_conf_full_name(cf->cycle, source.file, 1) != NGX_OK) {
        return nullptr;
    }
    SecretFileOptions options{.relaxed = source.relaxed, .owner = geteuid()};
    SecretFileWarnings warnings;
    auto read = read_any(source, options, warnings);
    if (!read) {
        log_error(cf, source, read.error());
        return nullptr;
    }
    log_warnings(cf, source, warnings);
    log_expiry(cf, source, read->expires);
    expires = read->expires;
    return ngx::make_owned<SecretLine>(cf->pool, std::move(read->lines));
}

// "nginx -s" reads the configuration too, and "nginx -t" may be run by hand:
// neither may wait for, or eat, what is on standard input.
bool is_to_be_read(const CredentialSource &source) noexcept {
    return ngx::view(*source.file) != "-" ||
           (ngx_process != NGX_PROCESS_SIGNALLER && !ngx_test_config);
}

}  // namespace

ngx_int_t read_credential(ngx_conf_t *cf, const CredentialSource &source,
                          Credential &credential) noexcept {
    // Before the key is in memory, and whatever "keystile_harden" will say.
    if (int error = forbid_dumping(); error != 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, error,
                           "prctl(PR_SET_DUMPABLE) failed");
        return NGX_ERROR;
    }
    if (!is_to_be_read(source)) {
        return NGX_OK;
    }
    credential.secret = ngx::view(*source.file) == "-"
                            ? read_stdin(cf, source)
                            : read_file(cf, source, credential.expires);
    return credential.secret == nullptr ? NGX_ERROR : NGX_OK;
}

}  // namespace keystile
