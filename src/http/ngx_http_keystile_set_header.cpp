// keystile_set_header.

#include "core/ascii.hpp"
#include "core/key_header.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_directives.hpp"

namespace keystile {
namespace {

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

// Whether a value holds a variable of a credential header or a cookie. nginx
// takes names of variables in any case.
bool holds_credential_variable(
    std::string_view value,
    std::span<const std::string_view> key_headers) noexcept {
    constexpr std::string_view kHeader = "http_";
    constexpr std::string_view kCookie = "cookie_";

    for (auto at = value.find('$'); at != std::string_view::npos;
         at = value.find('$', at + 1)) {
        auto name = value.substr(at + 1);
        name = name.substr(name.starts_with('{') ? 1 : 0);
        auto end = std::find_if_not(name.begin(), name.end(), [](char c) {
            return is_alpha(c) || is_digit(c) || c == '_';
        });
        name = name.substr(0, static_cast<std::size_t>(end - name.begin()));
        if (has_header_prefix(name, kCookie)) {
            return true;
        }
        if (has_header_prefix(name, kHeader)) {
            name.remove_prefix(kHeader.size());
            if (is_credential_header(name) ||
                equals_ignoring_case(name, "cookie")) {
                return true;
            }
            for (auto key_header : key_headers) {
                if (same_header_name(key_header, name)) {
                    return true;
                }
            }
        }
    }
    return false;
}

bool has_header_of(std::span<const std::string_view> names,
                   std::string_view name) noexcept {
    return std::any_of(names.begin(), names.end(), [name](auto one) {
        return same_header_name(one, name);
    });
}

}  // namespace

ngx_int_t resolve_set_headers(ngx_conf_t *cf, const LocConf &conf,
                              Route &route) noexcept {
    auto headers = ngx::elements<SetHeader>(conf.set_headers);
    auto names = ngx::make_array<std::string_view>(cf->pool, headers.size());

    for (std::size_t i = 0; i < names.size(); i++) {
        names[i] = headers[i].name;
        if (holds_credential_variable(ngx::view(headers[i].value.value),
                                      route.head.key_headers)) {
            return fail_location(
                cf, conf,
                "\"keystile_set_header\" would send on what a client "
                "sent as a credential: ",
                headers[i].value.value);
        }
        for (const auto *credential : route.credentials) {
            if (same_header_name(names[i], ngx::view(credential->header)) ||
                has_header_of(credential->more_headers, names[i])) {
                return fail_location(
                    cf, conf,
                    "\"keystile_set_header\" would set the header of "
                    "credential ",
                    credential->name);
            }
        }
    }
    route.set_headers = headers;
    route.head.overridden = names;
    return names.size() == headers.size() ? NGX_OK : NGX_ERROR;
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
