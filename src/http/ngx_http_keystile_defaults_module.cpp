// A default for client_max_body_size in locations with keystile_pass: 128m
// instead of 1m, where no level says anything.
//
// Requests of agents carry their whole history, and nginx's own default breaks
// them. Once the core module has merged its configuration, its default cannot
// be told from a limit that was written; so this module stands before it (see
// ngx_module_order in `config`) and looks while "unset" still shows.

#include "ngx_http_keystile_conf.hpp"

extern "C" {
extern ngx_module_t ngx_http_keystile_defaults_module;
}

namespace keystile {
namespace {

constexpr off_t kBodyLimit = 128 * 1024 * 1024;

struct Defaults {
    bool limit_written;  // on this level or one around it
};

ngx_http_core_loc_conf_t &core_conf(ngx_conf_t *cf) noexcept {
    return *static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
}

bool writes_limit(ngx_conf_t *cf) noexcept {
    return core_conf(cf).client_max_body_size != NGX_CONF_UNSET;
}

void *create_defaults(ngx_conf_t *cf) noexcept {
    return ngx::make<Defaults>(cf->pool);
}

// The http level is never merged, and is complete by now.
char *init_defaults(ngx_conf_t *cf, void *) noexcept {
    auto *defaults = static_cast<Defaults *>(ngx_http_conf_get_module_loc_conf(
        cf, ngx_http_keystile_defaults_module));
    defaults->limit_written = writes_limit(cf);
    return NGX_CONF_OK;
}

char *merge_defaults(ngx_conf_t *cf, void *parent, void *child) noexcept {
    const auto *prev = static_cast<Defaults *>(parent);
    auto *conf = static_cast<Defaults *>(child);
    const auto *location = static_cast<LocConf *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_keystile_module));

    conf->limit_written = prev->limit_written || writes_limit(cf);
    if (!conf->limit_written && location->handler == Handler::pass) {
        core_conf(cf).client_max_body_size = kBodyLimit;
        conf->limit_written = true;  // blocks inside inherit it
    }
    return NGX_CONF_OK;
}

constinit ngx_http_module_t context = {
    .preconfiguration = nullptr,
    .postconfiguration = nullptr,
    .create_main_conf = nullptr,
    .init_main_conf = init_defaults,
    .create_srv_conf = nullptr,
    .merge_srv_conf = nullptr,
    .create_loc_conf = create_defaults,
    .merge_loc_conf = merge_defaults,
};

}  // namespace
}  // namespace keystile

extern "C" {

ngx_module_t ngx_http_keystile_defaults_module = {
    NGX_MODULE_V1, &keystile::context,
    nullptr,       NGX_HTTP_MODULE,
    nullptr,       nullptr,
    nullptr,       nullptr,
    nullptr,       nullptr,
    nullptr,       NGX_MODULE_V1_PADDING,
};
}
