// keystile_prices.

#include "ngx_http_keystile_directives.hpp"

#include "core/price_file.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_json_file.hpp"

namespace keystile {

char *set_prices(ngx_conf_t *cf, ngx_command_t *, void *data) noexcept {
    auto &conf = *static_cast<MainConf *>(data);
    auto &name = ngx::elements<ngx_str_t>(cf->args)[1];

    if (conf.prices != nullptr) {
        return ngx::conf_message("is duplicate");
    }
    if (ngx_conf_full_name(cf->cycle, &name, 1) != NGX_OK) {
        return ngx::conf_error();
    }
    auto text = read_json_file(cf, name, kMaxPriceFileSize);
    if (text.data == nullptr) {
        return ngx::conf_error();
    }
    auto prices = parse_price_file(ngx::view(text), allocator_of(cf->pool));
    if (!prices) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%V:%d:%d: %s", &name,
                           prices.error().line, prices.error().column,
                           prices.error().message);
        return ngx::conf_error();
    }
    conf.prices = ngx::make<PriceTable>(cf->pool, *prices);
    return conf.prices == nullptr ? ngx::conf_error() : NGX_CONF_OK;
}

}  // namespace keystile
