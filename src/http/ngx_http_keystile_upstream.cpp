// Where keystile_pass leads.

#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

ngx_int_t fail(ngx_conf_t *cf, const LocConf &conf, const char *why) noexcept {
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                  "\"keystile_pass %V\": %s in %s:%ui", &conf.destination->url,
                  why, conf.file_name, conf.line);
    return NGX_ERROR;
}

bool is_loopback(const sockaddr *sa) noexcept {
    switch (sa->sa_family) {
    case AF_UNIX:
        return true;
    case AF_INET: {
        auto *sin = reinterpret_cast<const sockaddr_in *>(sa);
        return ntohl(sin->sin_addr.s_addr) >> 24 == 127;
    }
#if (NGX_HAVE_INET6)
    case AF_INET6: {
        auto *sin6 = reinterpret_cast<const sockaddr_in6 *>(sa);
        auto *bytes = sin6->sin6_addr.s6_addr;
        return IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr) ||
               (IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr) && bytes[12] == 127);
    }
#endif
    default:
        return false;
    }
}

// All addresses of a group; its servers are known once it is complete.
bool is_loopback(const ngx_http_upstream_srv_conf_t &group) noexcept {
    for (auto &server :
         ngx::elements<ngx_http_upstream_server_t>(group.servers)) {
        for (ngx_uint_t i = 0; i < server.naddrs; i++) {
            if (!is_loopback(server.addrs[i].sockaddr)) {
                return false;
            }
        }
    }
    return true;
}

// The upstream{} block of that name, or null.
ngx_http_upstream_srv_conf_t *find_group(ngx_conf_t *cf,
                                         const ngx_url_t &url) noexcept {
    auto *umcf = static_cast<ngx_http_upstream_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_upstream_module));
    for (auto *uscf :
         ngx::elements<ngx_http_upstream_srv_conf_t *>(&umcf->upstreams)) {
        if ((uscf->flags & NGX_HTTP_UPSTREAM_CREATE) != 0 &&
            uscf->host.len == url.host.len &&
            ngx_strncasecmp(uscf->host.data, url.host.data, url.host.len) ==
                0) {
            return uscf;
        }
    }
    return nullptr;
}

bool has_resolver(ngx_conf_t *cf) noexcept {
    auto *clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module));
    return clcf->resolver != nullptr && clcf->resolver->connections.nelts != 0;
}

ngx_int_t use_group(ngx_conf_t *cf, LocConf &conf,
                    ngx_http_upstream_srv_conf_t *group) noexcept {
    auto &to = *conf.destination;
    if (!to.parsed.no_port) {
        return fail(cf, conf, "an upstream group may not have a port");
    }
    if (!to.tls && !to.insecure_allowed && !is_loopback(*group)) {
        return fail(cf, conf,
                    "a credential goes over \"http://\" only to loopback and "
                    "Unix sockets; use \"https://\", or accept the risk with "
                    "\"insecure_upstream=on\"");
    }
    if (to.tls && conf.ssl_name.len == 0) {
        ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                      "no \"keystile_ssl_name\" for \"keystile_pass %V\": the "
                      "certificate must be for \"%V\", the name of the "
                      "group, in %s:%ui",
                      &to.url, &to.parsed.host, conf.file_name, conf.line);
    }
    conf.upstream.upstream = group;
    return NGX_OK;
}

// A name that the operator's resolver will answer for, request by request.
ngx_int_t use_resolver(ngx_conf_t *cf, LocConf &conf) noexcept {
    auto &to = *conf.destination;
    if (!to.tls && !to.insecure_allowed) {
        return fail(cf, conf,
                    "a credential goes over \"http://\" only to loopback and "
                    "Unix sockets, and a name that is resolved at run time "
                    "may become anything; use \"https://\", or accept the "
                    "risk with \"insecure_upstream=on\"");
    }
    auto *resolved = ngx::make<ngx_http_upstream_resolved_t>(cf->pool);
    if (resolved == nullptr) {
        return NGX_ERROR;
    }
    resolved->host = to.parsed.host;
    resolved->port =
        to.parsed.no_port ? to.parsed.default_port : to.parsed.port;
    resolved->no_port = to.parsed.no_port;
    conf.resolved = resolved;
    return NGX_OK;
}

// Addresses known now: an implicit group, as proxy_pass has it. Such a group
// is made ready by nginx before our merge runs, unless it is new.
ngx_int_t use_addresses(ngx_conf_t *cf, LocConf &conf) noexcept {
    auto &to = *conf.destination;
    ngx_url_t url{};
    url.url = to.parsed.url;
    url.default_port = to.parsed.default_port;
    url.uri_part = 1;

    auto *group = ngx_http_upstream_add(cf, &url, 0);
    if (group == nullptr) {
        return NGX_ERROR;
    }
    bool loopback = true;
    for (ngx_uint_t i = 0; i < url.naddrs; i++) {
        loopback = loopback && is_loopback(url.addrs[i].sockaddr);
    }
    if (!to.tls && !to.insecure_allowed && !loopback) {
        return fail(cf, conf,
                    "a credential goes over \"http://\" only to loopback and "
                    "Unix sockets; use \"https://\", or accept the risk with "
                    "\"insecure_upstream=on\"");
    }
    if (group->peer.init == nullptr &&
        ngx_http_upstream_init_round_robin(cf, group) != NGX_OK) {
        return NGX_ERROR;
    }
    conf.upstream.upstream = group;
    return NGX_OK;
}

}  // namespace

ngx_int_t find_upstream(ngx_conf_t *cf, LocConf &conf) noexcept {
    const auto &url = conf.destination->parsed;

    if (auto *group = find_group(cf, url)) {
        return use_group(cf, conf, group);
    }
    // "localhost" is this machine, whatever a DNS server says.
    bool is_name = url.naddrs == 0 && url.family != AF_UNIX &&
                   ngx::view(url.host) != "localhost";
    if (is_name && has_resolver(cf)) {
        return use_resolver(cf, conf);
    }
    return use_addresses(cf, conf);
}

}  // namespace keystile
