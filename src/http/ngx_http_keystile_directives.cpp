#include "ngx_http_keystile_directives.hpp"

#include "core/ascii.hpp"
#include "core/key_header.hpp"
#include "core/rules.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_health.hpp"
#include "ngx_http_keystile_pass.hpp"
#include "ngx_http_keystile_status.hpp"
#include "ngx_http_keystile_usage.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

// Splits "https://host:port/base"; false when it is neither http nor https.
bool split_url(Destination &to) noexcept {
    auto url = ngx::view(to.url);
    std::size_t scheme = 0;

    if (equals_ignoring_case(url.substr(0, kHttps.size()), kHttps)) {
        to.tls = true;
        scheme = kHttps.size();
    } else if (equals_ignoring_case(url.substr(0, kHttp.size()), kHttp)) {
        scheme = kHttp.size();
    } else {
        return false;
    }
    to.parsed.url = ngx::str(url.substr(scheme));
    to.parsed.default_port = to.tls ? 443 : 80;
    to.parsed.uri_part = 1;
    to.parsed.no_resolve = 1;
    return true;
}

// "/v1/" and "/v1" are the same base; "/" is none.
ngx_int_t take_base(Destination &to) noexcept {
    auto base = ngx::view(to.parsed.uri);
    while (base.ends_with('/')) {
        base.remove_suffix(1);
    }
    to.base = ngx::str(base);
    if (base.empty()) {
        return NGX_OK;
    }
    auto target = parse_request_target(base);
    return target && !target->has_query ? NGX_OK : NGX_ERROR;
}

// Makes `handler` the one of the location, and `kind` what it is to us.
char *take_location(ngx_conf_t *cf, LocConf &conf, Handler kind,
                    ngx_http_handler_pt handler) noexcept {
    auto *clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    conf.handler = kind;
    conf.directive = ngx::elements<ngx_str_t>(cf->args)[0];
    conf.file_name = cf->conf_file->file.name.data;
    conf.line = cf->conf_file->line;
    return std::exchange(clcf->handler, handler) == nullptr
               ? NGX_CONF_OK
               : ngx::conf_message(
                     "is not for a location that another directive handles");
}

}  // namespace

char *refuse(ngx_conf_t *cf, const ngx_str_t &word,
             std::string_view why) noexcept {
    ngx_str_t text = ngx::str(why);
    auto *words = static_cast<ngx_str_t *>(cf->args->elts);
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": invalid \"%V\": %V",
                       &words[0], &word, &text);
    return ngx::conf_error();
}

ngx_array_t *own_array(ngx_conf_t *cf, ngx_array_t *&slot,
                       std::size_t size) noexcept {
    if (ngx::is_unset(slot)) {
        slot = ngx_array_create(cf->pool, 4, size);
    }
    return slot;
}

char *set_pass(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    auto words = ngx::elements<ngx_str_t>(cf->args);

    if (conf.handler != Handler::none) {
        return ngx::conf_message("is duplicate");
    }
    auto *to = ngx::make<Destination>(cf->pool);
    if (to == nullptr) {
        return ngx::conf_error();
    }
    to->url = words[1];

    for (auto &word : words.subspan(2)) {
        if (ngx::view(word) != "insecure_upstream=on") {
            return refuse(cf, word, "expected \"insecure_upstream=on\"");
        }
        to->insecure_allowed = true;
    }
    if (ngx::view(to->url).find('$') != std::string_view::npos) {
        return refuse(cf, to->url,
                      "variables are not allowed: where a credential goes "
                      "must not depend on the request");
    }
    if (!split_url(*to)) {
        return refuse(cf, to->url, "expected \"http://\" or \"https://\"");
    }
    if (ngx_parse_url(cf->pool, &to->parsed) != NGX_OK) {
        return refuse(
            cf, to->url,
            to->parsed.err != nullptr ? to->parsed.err : "invalid URL");
    }
    if (take_base(*to) != NGX_OK) {
        return refuse(cf, to->url,
                      "its path cannot be put before a request "
                      "target");
    }

    conf.destination = to;
    return take_location(cf, conf, Handler::pass, handle_pass);
}

char *set_health(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    if (conf.handler != Handler::none) {
        return ngx::conf_message("is duplicate");
    }
    return take_location(cf, conf, Handler::health, handle_health);
}

char *set_usage(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    if (conf.handler != Handler::none) {
        return ngx::conf_message("is duplicate");
    }
    conf.shown = find_zone(cf, ngx::elements<ngx_str_t>(cf->args)[1]);
    return conf.shown == nullptr
               ? ngx::conf_error()
               : take_location(cf, conf, Handler::usage, handle_usage);
}

char *set_status(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    auto words = ngx::elements<ngx_str_t>(cf->args);
    if (conf.handler != Handler::none) {
        return ngx::conf_message("is duplicate");
    }
    for (auto &word : words.subspan(2)) {
        constexpr std::string_view kFormat = "format=";
        auto text = ngx::view(word);
        auto format = text.starts_with(kFormat)
                          ? status_format(text.substr(kFormat.size()))
                          : std::nullopt;
        if (!format) {
            return refuse(cf, word,
                          "expected \"format=prometheus\", \"format=json\" "
                          "or \"format=html\"");
        }
        conf.status_format = *format;
    }
    conf.shown = find_zone(cf, words[1]);
    return conf.shown == nullptr
               ? ngx::conf_error()
               : take_location(cf, conf, Handler::status, handle_status);
}

char *set_allow(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    auto args = ngx::elements<ngx_str_t>(cf->args).subspan(1);

    auto words = ngx::make_array<std::string_view>(cf->pool, args.size());
    auto *rules = own_array(cf, conf.rules, sizeof(Rule));
    if (words.empty() || rules == nullptr) {
        return ngx::conf_error();
    }
    for (std::size_t i = 0; i < args.size(); i++) {
        words[i] = ngx::view(args[i]);
    }

    auto rule = parse_rule(words);
    if (!rule) {
        return refuse(cf, ngx::str(rule.error().word),
                      describe(rule.error().fault));
    }
    auto *slot = static_cast<Rule *>(ngx_array_push(rules));
    if (slot == nullptr) {
        return ngx::conf_error();
    }
    *slot = *rule;
    return NGX_CONF_OK;
}

char *set_words(ngx_conf_t *cf, ngx_command_t *cmd, void *data) noexcept {
    auto *&slot = *reinterpret_cast<ngx_array_t **>(static_cast<char *>(data) +
                                                    cmd->offset);
    if (!ngx::is_unset(slot)) {
        return ngx::conf_message("is duplicate");
    }

    auto words = ngx::elements<ngx_str_t>(cf->args).subspan(1);
    slot = ngx_array_create(cf->pool, words.size(), sizeof(ngx_str_t));
    if (slot == nullptr) {
        return ngx::conf_error();
    }
    for (auto &word : words) {
        auto *copy = static_cast<ngx_str_t *>(ngx_array_push(slot));
        if (copy == nullptr) {
            return ngx::conf_error();
        }
        *copy = word;
    }
    return NGX_CONF_OK;
}

char *set_key_headers(ngx_conf_t *cf, ngx_command_t *cmd,
                      void *data) noexcept {
    for (auto &name : ngx::elements<ngx_str_t>(cf->args).subspan(1)) {
        if (!note_key_header(*main_conf(cf), ngx::view(name))) {
            return ngx::conf_error();
        }
    }
    return set_words(cf, cmd, data);
}

char *check_buffer_size(ngx_conf_t *, void *, void *size) noexcept {
    constexpr std::size_t kSmallest = 4096;
    return *static_cast<std::size_t *>(size) >= kSmallest
               ? NGX_CONF_OK
               : ngx::conf_message("must be at least 4k");
}

char *refuse_variables(ngx_conf_t *cf, void *, void *string) noexcept {
    const auto &value = *static_cast<ngx_str_t *>(string);
    if (ngx::view(value).find('$') == std::string_view::npos) {
        return NGX_CONF_OK;
    }
    return refuse(cf, value,
                  "variables are not allowed: where a credential goes must "
                  "not depend on the request");
}

}  // namespace keystile
