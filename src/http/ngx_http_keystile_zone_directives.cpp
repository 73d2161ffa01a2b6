// keystile_zone and keystile_meter.

#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_directives.hpp"
#include "ngx_http_keystile_state_files.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {
namespace {

// The word "state=file" of a zone.
char *take_state(ngx_conf_t *cf, MainConf &conf, Zone &zone,
                 const ngx_str_t &word) noexcept {
    constexpr std::string_view kState = "state=";
    auto text = ngx::view(word);
    if (!text.starts_with(kState) || text == kState) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"keystile_zone\": invalid \"%V\": expected "
                           "\"state=file\"",
                           &word);
        return ngx::conf_error();
    }
    zone.state_file = ngx::str(text.substr(kState.size()));
    if (ngx_conf_full_name(cf->cycle, &zone.state_file, 0) != NGX_OK) {
        return ngx::conf_error();
    }
    if (open_state(cf, zone) != NGX_OK) {
        return ngx::conf_error();
    }
    for (auto *other : ngx::elements<Zone *>(&conf.zones)) {
        if (other != &zone && shares_state(*other, zone)) {
            return refuse(cf, word, "another zone has this state file");
        }
    }
    return NGX_CONF_OK;
}

}  // namespace

Zone *find_zone(ngx_conf_t *cf, const ngx_str_t &name) noexcept {
    for (auto *zone : ngx::elements<Zone *>(&main_conf(cf)->zones)) {
        if (ngx::view(zone->name) == ngx::view(name)) {
            return zone;
        }
    }
    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "there is no \"keystile_zone\" named \"%V\" before "
                       "this line",
                       &name);
    return nullptr;
}

char *set_meter(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<LocConf *>(data);
    auto &name = ngx::elements<ngx_str_t>(cf->args)[1];

    if (!ngx::is_unset(conf.meter)) {
        return ngx::conf_message("is duplicate");
    }
    if (ngx::view(name) == "off") {
        conf.meter = nullptr;
        return NGX_CONF_OK;
    }
    conf.meter = find_zone(cf, name);
    return conf.meter == nullptr ? ngx::conf_error() : NGX_CONF_OK;
}

char *set_zone(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<MainConf *>(data);
    auto words = ngx::elements<ngx_str_t>(cf->args);

    if (ngx::view(words[1]) == "off") {
        return refuse(cf, words[1], "this name turns \"keystile_meter\" off");
    }
    for (auto *other : ngx::elements<Zone *>(&conf.zones)) {
        if (ngx::view(other->name) == ngx::view(words[1])) {
            return refuse(cf, words[1], "there is a zone of this name");
        }
    }
    // nginx's slab allocator needs pages of its own.
    auto least = ngx_max(std::size_t{128} * 1024,
                         MeterZone::kLeastSize + 8 * ngx_pagesize);
    auto size = ngx_parse_size(&words[2]);
    if (size == NGX_ERROR || static_cast<std::size_t>(size) < least) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"keystile_zone\": invalid size \"%V\": expected "
                           "%uzk or more",
                           &words[2], least / 1024);
        return ngx::conf_error();
    }

    auto *zone = ngx::make<Zone>(cf->pool);
    auto **slot = static_cast<Zone **>(ngx_array_push(&conf.zones));
    if (zone == nullptr || slot == nullptr) {
        return ngx::conf_error();
    }
    *slot = zone;
    zone->name = words[1];
    zone->conf = &conf;
    zone->pool = cf->pool;
    zone->state_fds = {NGX_INVALID_FILE, NGX_INVALID_FILE};
    for (auto &word : words.subspan(3)) {
        if (take_state(cf, conf, *zone, word) != NGX_CONF_OK) {
            return ngx::conf_error();
        }
    }

    zone->shm =
        ngx_shared_memory_add(cf, &zone->name, static_cast<std::size_t>(size),
                              &ngx_http_keystile_module);
    if (zone->shm == nullptr) {
        return ngx::conf_error();
    }
    if (zone->shm->data != nullptr) {
        return ngx::conf_message("has the name of another zone");
    }
    zone->shm->init = init_zone;
    zone->shm->data = zone;
    return NGX_CONF_OK;
}

}  // namespace keystile
