// From what was written to what is done: the immutable route of a location.

#include "ngx_http_keystile_conf.hpp"

#include "core/ascii.hpp"
#include "core/key_header.hpp"

namespace keystile {
namespace {

// Of keystile_usage: whatever the location is, it is only read.
constinit const Rule kAnyRead{.methods = "GET,HEAD",
                              .path = "/**",
                              .query = {},
                              .to_path = {},
                              .to_args = {},
                              .any_query = true};

// A list of ngx_str_t as a list of views, in the pool.
std::span<std::string_view> views(ngx_conf_t *cf,
                                  std::span<const ngx_str_t> words) noexcept {
    auto all = ngx::make_array<std::string_view>(cf->pool, words.size());
    for (std::size_t i = 0; i < all.size(); i++) {
        all[i] = ngx::view(words[i]);
    }
    return all;
}

ngx_int_t resolve_key_headers(ngx_conf_t *cf, const LocConf &conf,
                              Route &route) noexcept {
    auto words = ngx::elements<ngx_str_t>(conf.key_headers);
    if (words.empty()) {
        route.policy.key_headers = kDefaultKeyHeaders;
        return NGX_OK;
    }
    if (words.size() > kMostKeyHeaders) {
        return fail_location(cf, conf,
                             "more than 8 names in \"keystile_key_headers\"");
    }
    for (std::size_t i = 0; i < words.size(); i++) {
        auto name = ngx::view(words[i]);
        if (!is_token(name)) {
            return fail_location(
                cf, conf,
                "\"keystile_key_headers\": not a header name: ", words[i]);
        }
        if (has_other_meaning(name)) {
            return fail_location(
                cf, conf, "\"keystile_key_headers\": a key cannot be in ",
                words[i]);
        }
        for (std::size_t k = 0; k < i; k++) {
            if (same_header_name(ngx::view(words[k]), name)) {
                return fail_location(
                    cf, conf,
                    "\"keystile_key_headers\": given twice: ", words[i]);
            }
        }
    }
    route.policy.key_headers = views(cf, words);
    return route.policy.key_headers.empty() ? NGX_ERROR : NGX_OK;
}

// A placeholder that no client can send would admit nobody.
bool can_be_sent(std::string_view placeholder) noexcept {
    return read_key_header("x-api-key", placeholder) == placeholder &&
           !placeholder.empty();
}

ngx_int_t resolve_client_sets(ngx_conf_t *cf, const LocConf &conf,
                              std::span<const ngx_str_t> words,
                              Policy &policy) noexcept {
    auto known = ngx::elements<ClientSet *>(&main_conf(cf)->client_sets);
    auto sets = ngx::make_array<const ClientSet *>(cf->pool, words.size());

    for (std::size_t i = 0; i < sets.size(); i++) {
        for (const auto *set : known) {
            if (set->name == ngx::view(words[i])) {
                sets[i] = set;
            }
        }
        if (sets[i] == nullptr) {
            return fail_location(cf, conf,
                                 "\"keystile_admit\": there is no "
                                 "\"keystile_client_keys\" named ",
                                 words[i]);
        }
    }
    policy.admit = Admit::clients;
    policy.client_sets = sets;
    return sets.empty() ? NGX_ERROR : NGX_OK;
}

ngx_int_t resolve_admit(ngx_conf_t *cf, const LocConf &conf,
                        Policy &policy) noexcept {
    auto words = ngx::elements<ngx_str_t>(conf.admit);
    if (words.empty()) {
        return fail_location(
            cf, conf,
            "\"keystile_admit\" is missing: name the client-key "
            "sets that may pass, or write \"keystile_admit any\"");
    }
    if (ngx::view(words[0]) == "any") {
        policy.admit = Admit::any;
        return words.size() == 1
                   ? NGX_OK
                   : fail_location(cf, conf,
                                   "\"keystile_admit any\" stands alone");
    }
    if (ngx::view(words[0]) == "placeholder") {
        policy.admit = Admit::placeholder;
        policy.placeholders = views(cf, words.subspan(1));
        for (auto placeholder : policy.placeholders) {
            auto *slot = static_cast<std::string_view *>(
                ngx_array_push(&main_conf(cf)->placeholders));
            if (slot == nullptr) {
                return NGX_ERROR;
            }
            *slot = placeholder;
            if (!can_be_sent(placeholder)) {
                return fail_location(
                    cf, conf,
                    "\"keystile_admit placeholder\": no client can "
                    "send \"\" or a value with spaces");
            }
        }
        return words.size() > 1
                   ? NGX_OK
                   : fail_location(
                         cf, conf,
                         "\"keystile_admit placeholder\" names no value");
    }
    return resolve_client_sets(cf, conf, words, policy);
}

// Rules that could never take effect.
ngx_int_t check_rules(ngx_conf_t *cf, const LocConf &conf,
                      const Policy &policy) noexcept {
    bool has_authorization = false;
    for (auto name : policy.key_headers) {
        has_authorization =
            has_authorization || equals_ignoring_case(name, "authorization");
    }
    for (std::size_t i = 0; i < policy.rules.size(); i++) {
        const auto &rule = policy.rules[i];
        if (rule.bearer_only &&
            (policy.admit == Admit::any || !has_authorization)) {
            return fail_location(
                cf, conf,
                "\"identity=bearer\" needs \"keystile_admit\" to ask "
                "for a key, and \"authorization\" among the "
                "\"keystile_key_headers\": ",
                ngx::str(rule.path));
        }
        for (const auto &other : policy.rules.first(i)) {
            bool same = other.path == rule.path &&
                        other.websocket == rule.websocket &&
                        !for_each_element(
                            rule.methods, ',', [&](std::string_view method) {
                                return !has_method(other.methods, method);
                            });
            if (same) {
                return fail_location(
                    cf, conf, "two \"keystile_allow\" for one method of ",
                    ngx::str(rule.path));
            }
        }
    }
    return NGX_OK;
}

// Limits that nothing would count, or in a currency that nothing is priced in.
ngx_int_t check_metering(ngx_conf_t *cf, const LocConf &conf,
                         const Policy &policy) noexcept {
    const auto *prices = main_conf(cf)->prices;
    bool priced = prices != nullptr && prices->prices_all();
    for (const auto *set : policy.client_sets) {
        for (const auto &client : set->keys.clients) {
            if (client.limits.empty()) {
                continue;
            }
            if (conf.meter == nullptr) {
                return fail_location(
                    cf, conf,
                    "limits need keystile_meter, which is missing or "
                    "off here; there are some of client ",
                    ngx::str(client.id));
            }
            bool usd = std::any_of(client.limits.begin(), client.limits.end(),
                                   [](const Limit &limit) {
                                       return limit.kind == LimitKind::usd;
                                   });
            if (usd && !priced) {
                return fail_location(
                    cf, conf,
                    "\"keystile_prices\" with a price for every model "
                    "(\"*\") is needed for the limits in \"usd\" of "
                    "client ",
                    ngx::str(client.id));
            }
        }
    }
    return NGX_OK;
}

// " in Authorization header or x-api-key header": the rest of a 401's message.
ngx_int_t word_key_headers(ngx_conf_t *cf, Route &route) noexcept {
    constexpr std::string_view kHeader = " header";
    constexpr std::string_view kIn = " in ";
    constexpr std::string_view kOr = " or ";
    auto names = route.policy.key_headers;

    std::size_t size = 0;
    for (auto name : names) {
        size += name.size() + kHeader.size() + kOr.size();
    }
    auto *text = static_cast<char *>(ngx_pnalloc(cf->pool, size));
    if (text == nullptr) {
        return NGX_ERROR;
    }

    char *p = text;
    auto put = [&p](std::string_view s) {
        p = std::copy(s.begin(), s.end(), p);
    };
    for (auto name : names) {
        put(p == text ? kIn : kOr);
        put(equals_ignoring_case(name, "authorization") ? "Authorization"
                                                        : name);
        put(kHeader);
    }
    route.key_header_words = {text, static_cast<std::size_t>(p - text)};
    return NGX_OK;
}

// The value of Host: the name that TLS verifies, else the URL's own, with its
// port where that is not the scheme's.
std::string_view host_header(const LocConf &conf) noexcept {
    auto &to = *conf.destination;
    if (to.tls && conf.ssl_name.len != 0) {
        return ngx::view(conf.ssl_name);
    }
    if (to.parsed.family == AF_UNIX) {
        return "localhost";
    }
    auto authority = ngx::view(to.parsed.url);
    authority = authority.substr(0, authority.find('/'));
    bool usual_port =
        to.parsed.no_port || to.parsed.port == to.parsed.default_port;
    return usual_port ? ngx::view(to.parsed.host) : authority;
}

}  // namespace

ngx_int_t fail_location(ngx_conf_t *cf, const LocConf &conf, const char *what,
                        const ngx_str_t &word) noexcept {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "\"%V\": %s%V in %s:%ui",
                  &conf.directive, what, &word, conf.file_name, conf.line);
    return NGX_ERROR;
}

ngx_int_t make_usage_route(ngx_conf_t *cf, LocConf &conf) noexcept {
    auto *route = ngx::make<Route>(cf->pool);
    if (route == nullptr) {
        return NGX_ERROR;
    }
    route->policy.rules = {&kAnyRead, 1};
    route->policy.any_client_rule = true;
    route->policy.reject_foreign = conf.foreign_keys == 1;
    if (resolve_key_headers(cf, conf, *route) != NGX_OK ||
        resolve_admit(cf, conf, route->policy) != NGX_OK ||
        word_key_headers(cf, *route) != NGX_OK) {
        return NGX_ERROR;
    }
    if (route->policy.admit != Admit::clients) {
        return fail_location(
            cf, conf,
            "\"keystile_admit\" must name the client-key sets whose "
            "clients may ask what they have used");
    }
    conf.route = route;
    return NGX_OK;
}

ngx_int_t make_route(ngx_conf_t *cf, LocConf &conf) noexcept {
    auto *route = ngx::make<Route>(cf->pool);
    if (route == nullptr) {
        return NGX_ERROR;
    }

    route->policy.rules = ngx::elements<Rule>(conf.rules);
    route->policy.reject_foreign = conf.foreign_keys == 1;
    if (route->policy.rules.empty()) {
        return fail_location(cf, conf,
                             "\"keystile_allow\" is missing: every request "
                             "would be refused");
    }
    // All directives have been read by now, so this list is complete.
    route->head.key_headers =
        ngx::elements<std::string_view>(&main_conf(cf)->key_headers);
    if (resolve_key_headers(cf, conf, *route) != NGX_OK ||
        resolve_admit(cf, conf, route->policy) != NGX_OK ||
        check_rules(cf, conf, route->policy) != NGX_OK ||
        check_metering(cf, conf, route->policy) != NGX_OK ||
        resolve_credentials(cf, conf, *route) != NGX_OK ||
        resolve_set_headers(cf, conf, *route) != NGX_OK ||
        word_key_headers(cf, *route) != NGX_OK) {
        return NGX_ERROR;
    }

    route->head.index();
    route->own_head = route->head;
    route->own_head.more_headers = {};  // they are the caller's, as it is
    route->host = host_header(conf);
    route->base = ngx::view(conf.destination->base);
    conf.route = route;
    return NGX_OK;
}

}  // namespace keystile
