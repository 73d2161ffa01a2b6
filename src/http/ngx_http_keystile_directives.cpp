#include "ngx_http_keystile_directives.hpp"

#include "core/ascii.hpp"
#include "core/key_header.hpp"
#include "core/rules.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_health.hpp"
#include "ngx_http_keystile_pass.hpp"

namespace keystile {
namespace {

constexpr std::string_view kHttp = "http://";
constexpr std::string_view kHttps = "https://";

// Headers that keystile_set_header must leave alone: we write them, or they
// belong to the connection.
constexpr std::array<std::string_view, 10> kOwnHeaders{
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "te",
    "trailer",
    "sec-websocket-protocol",
    "upgrade",
    "transfer-encoding",
    "proxy-connection",
};

char *refuse(ngx_conf_t *cf, const ngx_str_t &word,
             std::string_view why) noexcept {
    ngx_str_t text = ngx::str(why);
    auto *words = static_cast<ngx_str_t *>(cf->args->elts);
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%V\": invalid \"%V\": %V",
                       &words[0], &word, &text);
    return ngx::conf_error();
}

// The array at `slot`, made when this is its first line on this level.
ngx_array_t *own_array(ngx_conf_t *cf, ngx_array_t *&slot,
                       std::size_t size) noexcept {
    if (ngx::is_unset(slot)) {
        slot = ngx_array_create(cf->pool, 4, size);
    }
    return slot;
}

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

// Makes `handler` the one of the location; false where it has another.
bool take_location(ngx_conf_t *cf, ngx_http_handler_pt handler) noexcept {
    auto *clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    return std::exchange(clcf->handler, handler) == nullptr;
}

}  // namespace

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
    to->file_name = cf->conf_file->file.name.data;
    to->line = cf->conf_file->line;

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
    conf.handler = Handler::pass;
    return take_location(cf, handle_pass)
               ? NGX_CONF_OK
               : ngx::conf_message(
                     "is not for a location that another directive handles");
}

char *set_health(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    if (conf.handler != Handler::none) {
        return ngx::conf_message("is duplicate");
    }
    conf.handler = Handler::health;
    return take_location(cf, handle_health)
               ? NGX_CONF_OK
               : ngx::conf_message(
                     "is not for a location that another directive handles");
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

char *set_set_header(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    auto words = ngx::elements<ngx_str_t>(cf->args);
    auto name = ngx::view(words[1]);

    if (!is_token(name)) {
        return refuse(cf, words[1], "expected a header name");
    }
    if (is_credential_header(name)) {
        return refuse(cf, words[1],
                      "a credential comes only from \"keystile_credential\"");
    }
    for (auto own : kOwnHeaders) {
        if (same_header_name(own, name)) {
            return refuse(cf, words[1], "keystile writes this header itself");
        }
    }

    auto value = ngx::view(words[2]);
    if (equals_ignoring_case(name, "host") &&
        value.find('$') != std::string_view::npos) {
        return refuse(cf, words[2],
                      "variables are not allowed for \"Host\": where a "
                      "credential goes must not depend on the request");
    }
    auto *headers = own_array(cf, conf.set_headers, sizeof(SetHeader));
    auto *header = headers == nullptr
                       ? nullptr
                       : static_cast<SetHeader *>(ngx_array_push(headers));
    if (header == nullptr) {
        return ngx::conf_error();
    }
    *header = SetHeader{.name = name, .value = {}};

    ngx_http_compile_complex_value_t ccv{};
    ccv.cf = cf;
    ccv.value = &words[2];
    ccv.complex_value = &header->value;
    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_CONF_OK
                                                          : ngx::conf_error();
}

}  // namespace keystile
