// keystile_client_keys.

#include "ngx_http_keystile_directives.hpp"

#include "core/client_file.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_json_file.hpp"

namespace keystile {
char *set_client_keys(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<MainConf *>(data);
    auto words = ngx::elements<ngx_str_t>(cf->args);
    auto name = ngx::view(words[1]);

    if (name == "any" || name == "placeholder") {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"keystile_client_keys\": \"%V\" means something "
                           "else to \"keystile_admit\"; choose another name",
                           &words[1]);
        return ngx::conf_error();
    }
    for (auto *other : ngx::elements<ClientSet *>(&conf.client_sets)) {
        if (other->name == name) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"keystile_client_keys\": duplicate name "
                               "\"%V\"",
                               &words[1]);
            return ngx::conf_error();
        }
    }
    if (ngx_conf_full_name(cf->cycle, &words[2], 1) != NGX_OK) {
        return ngx::conf_error();
    }

    auto text = read_json_file(cf, words[2], kMaxClientFileSize);
    if (text.data == nullptr) {
        return ngx::conf_error();
    }
    auto keys = parse_client_file(ngx::view(text), allocator_of(cf->pool));
    if (!keys) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V:%d:%d: %s", &words[2],
                           keys.error().line, keys.error().column,
                           keys.error().message);
        return ngx::conf_error();
    }

    auto *set = ngx::make<ClientSet>(cf->pool, name, *keys);
    auto **slot = static_cast<ClientSet **>(ngx_array_push(&conf.client_sets));
    if (set == nullptr || slot == nullptr) {
        return ngx::conf_error();
    }
    *slot = set;
    return NGX_CONF_OK;
}

}  // namespace keystile
