// keystile_inject and keystile_next_credential.

#include "ngx_http_keystile_directives.hpp"

#include "core/ascii.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

constexpr struct {
    std::string_view name;
    ngx_uint_t condition;
} kConditions[] = {
    {"http_401", NextCredential::on_401},
    {"http_403", NextCredential::on_403},
    {"http_429", NextCredential::on_429},
    {"error", NextCredential::on_error},
    {"timeout", NextCredential::on_timeout},
};

const Credential *find_credential(ngx_conf_t *cf,
                                  const ngx_str_t &name) noexcept {
    for (auto *credential :
         ngx::elements<Credential *>(&main_conf(cf)->credentials)) {
        if (ngx::view(credential->name) == ngx::view(name)) {
            return credential;
        }
    }
    return nullptr;
}

// A credential with to= goes there and nowhere else.
ngx_int_t check_binding(ngx_conf_t *cf, const LocConf &conf,
                        const Credential &credential) noexcept {
    auto &to = *conf.destination;
    auto host = ngx::view(to.tls && conf.ssl_name.len != 0 ? conf.ssl_name
                                                           : to.parsed.host);
    for (auto &bound : credential.to) {
        if (equals_ignoring_case(ngx::view(bound), host)) {
            return NGX_OK;
        }
    }
    if (credential.to.empty()) {
        return NGX_OK;
    }
    ngx_str_t name = ngx::str(host);
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"keystile_pass\": credential \"%V\" is bound by \"to=\" "
                  "to another host than \"%V\" in %s:%ui",
                  &credential.name, &name, conf.file_name, conf.line);
    return NGX_ERROR;
}

ngx_int_t resolve_pool(ngx_conf_t *cf, const LocConf &conf,
                       std::span<const ngx_str_t> names,
                       Route &route) noexcept {
    auto pool = ngx::make_array<const Credential *>(cf->pool, names.size());
    if (pool.empty()) {
        return NGX_ERROR;
    }
    for (std::size_t i = 0; i < pool.size(); i++) {
        pool[i] = find_credential(cf, names[i]);
        if (pool[i] == nullptr) {
            return fail_location(cf, conf,
                                 "\"keystile_inject\": there is no "
                                 "\"keystile_credential\" named ",
                                 names[i]);
        }
        for (const auto *other : pool.first(i)) {
            if (other == pool[i]) {
                return fail_location(
                    cf, conf, "\"keystile_inject\": given twice: ", names[i]);
            }
        }
        if (check_binding(cf, conf, *pool[i]) != NGX_OK) {
            return NGX_ERROR;
        }
        if (!pool[i]->more_headers.empty()) {
            route.head.more_headers = pool[i]->more_headers;
        }
    }
    route.credentials = pool;
    return NGX_OK;
}

ngx_uint_t condition_of(std::string_view name) noexcept {
    for (const auto &known : kConditions) {
        if (known.name == name) {
            return known.condition;
        }
    }
    return 0;
}

// Why the word is not right, or null.
const char *take_word(NextCredential &next, std::string_view word) noexcept {
    constexpr std::string_view kCooldown = "cooldown=";
    constexpr std::string_view kTries = "tries=";

    if (word.starts_with(kCooldown)) {
        auto text = ngx::str(word.substr(kCooldown.size()));
        next.cooldown = ngx_parse_time(&text, 1);
        return next.cooldown > 0 ? nullptr : "expected a time, such as 5m";
    }
    if (word.starts_with(kTries)) {
        auto text = ngx::str(word.substr(kTries.size()));
        auto tries = ngx_atoi(text.data, text.len);
        next.tries = static_cast<ngx_uint_t>(tries);
        return tries > 0 ? nullptr : "expected a number of 1 or more";
    }
    auto condition = condition_of(word);
    next.conditions |= condition;
    return condition != 0
               ? nullptr
               : "expected \"http_401\", \"http_403\", \"http_429\", "
                 "\"error\", \"timeout\", \"cooldown=\", \"tries=\" or "
                 "\"off\"";
}

}  // namespace

char *set_next_credential(ngx_conf_t *cf, ngx_command_t *,
                          void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    auto words = ngx::elements<ngx_str_t>(cf->args).subspan(1);
    if (!ngx::is_unset(conf.next_credential)) {
        return ngx::conf_message("is duplicate");
    }
    auto *next = ngx::make<NextCredential>(cf->pool);
    if (next == nullptr) {
        return ngx::conf_error();
    }
    conf.next_credential = next;
    next->is_given = true;
    next->cooldown = kDefaultCooldown;
    if (ngx::view(words[0]) == "off") {
        return words.size() == 1
                   ? NGX_CONF_OK
                   : refuse(cf, words[1], "\"off\" stands alone");
    }
    for (auto &word : words) {
        if (const char *why = take_word(*next, ngx::view(word))) {
            return refuse(cf, word, why);
        }
    }
    if (next->conditions == 0) {
        return ngx::conf_message(
            "names no condition, such as \"http_401\" or \"http_429\"");
    }
    return NGX_CONF_OK;
}

ngx_int_t resolve_credentials(ngx_conf_t *cf, const LocConf &conf,
                              Route &route) noexcept {
    auto words = ngx::elements<ngx_str_t>(conf.inject);
    if (words.empty()) {
        return fail_location(cf, conf,
                             "\"keystile_inject\" is missing: name the "
                             "\"keystile_credential\" to send");
    }
    if (ngx::view(words[0]) == kOff) {
        return words.size() == 1
                   ? NGX_OK
                   : fail_location(cf, conf,
                                   "\"keystile_inject off\" stands alone");
    }
    route.injects = true;
    std::span<const ngx_str_t> names = words;
    if (ngx::view(words[0]) == kPassthrough) {
        route.passthrough = true;
        names = names.subspan(1);
    }
    if (names.size() > kMostPooled) {
        return fail_location(cf, conf,
                             "more than 32 names in \"keystile_inject\"");
    }
    return names.empty() ? NGX_OK : resolve_pool(cf, conf, names, route);
}

}  // namespace keystile
