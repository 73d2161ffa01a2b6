#include "ngx_http_keystile_variables.hpp"

#include "core/number_text.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_meter.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

// Reading one in a location with keystile_pass decides, if that is still to
// be done: so $keystile_client can be the key of a limit. Not in a log, though,
// of a request that something else has answered.
const Decision *decision_of(ngx_http_request_t *r) noexcept {
    const auto *conf = loc_conf(r);
    if (conf->route == nullptr || r != r->main || r->header_sent ||
        r->connection->error) {
        auto *exchange = Exchange::find(r);
        return exchange == nullptr ? nullptr : exchange->decision();
    }
    auto *exchange = Exchange::of(r);
    return exchange == nullptr ? nullptr : &exchange->decide(*conf->route);
}

ngx_int_t give(ngx_http_variable_value_t *v, std::string_view s) noexcept {
    auto value = ngx::str(s);
    v->data = value.data;
    v->len = static_cast<unsigned>(value.len);
    v->valid = 1;
    v->no_cacheable = 1;
    v->not_found = s.empty();
    return NGX_OK;
}

ngx_int_t get_client(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                     uintptr_t) noexcept {
    const auto *decision = decision_of(r);
    if (decision == nullptr) {
        return give(v, {});
    }
    if (!*decision) {
        return give(v, decision->error().client);
    }
    const auto *client = (*decision)->identity().client;
    return give(v, client == nullptr ? std::string_view{} : client->id);
}

ngx_int_t get_decision(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                       uintptr_t) noexcept {
    const auto *decision = decision_of(r);
    if (decision == nullptr) {
        return give(v, {});
    }
    return give(
        v, *decision ? "admitted" : describe(decision->error().denial).code);
}

ngx_int_t get_key_header(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                         uintptr_t) noexcept {
    const auto *decision = decision_of(r);
    bool admitted = decision != nullptr && decision->has_value();
    return give(
        v, admitted ? (*decision)->identity().key_header : std::string_view{});
}

ngx_int_t get_credential(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                         uintptr_t) noexcept {
    const auto *exchange = Exchange::find(r);
    if (exchange != nullptr && exchange->lends_own) {
        return give(v, kPassthrough);
    }
    bool sent = exchange != nullptr && exchange->credential != nullptr;
    return give(
        v, sent ? ngx::view(exchange->credential->name) : std::string_view{});
}

ngx_int_t get_rule(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                   uintptr_t) noexcept {
    const auto *decision = decision_of(r);
    if (decision == nullptr) {
        return give(v, {});
    }
    return give(
        v, *decision ? (*decision)->rule().path : decision->error().pattern);
}

ngx_int_t get_request_id(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                         uintptr_t) noexcept {
    auto *exchange = Exchange::find(r);
    return give(
        v, exchange == nullptr ? std::string_view{} : exchange->request_id());
}

// What is known of it so far; all of it in the log phase.
const Meter *meter_of(ngx_http_request_t *r) noexcept {
    const auto *exchange = Exchange::find(r);
    return exchange == nullptr ? nullptr : exchange->meter;
}

ngx_int_t get_model(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                    uintptr_t) noexcept {
    const auto *meter = meter_of(r);
    if (meter == nullptr) {
        return give(v, {});
    }
    auto model = meter->sum().model;
    auto copy = ngx::copy(r->pool, model.view());
    return copy.data == nullptr ? NGX_ERROR : give(v, ngx::view(copy));
}

ngx_int_t give_number(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                      std::optional<NumberText> number) noexcept {
    if (!number) {
        return give(v, {});
    }
    auto copy = ngx::copy(r->pool, number->view());
    return copy.data == nullptr ? NGX_ERROR : give(v, ngx::view(copy));
}

// `data` is a Figure.
ngx_int_t get_figure(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                     uintptr_t data) noexcept {
    const auto *meter = meter_of(r);
    auto figure = static_cast<Figure>(data);
    std::optional<NumberText> number;
    auto sum = meter == nullptr ? Meter::Sum{} : meter->sum();
    if (sum.has_usage) {
        number.emplace(sum.totals[figure],
                       figure == Figure::cost ? kPicodollarDecimals : 0);
    }
    return give_number(r, v, number);
}

ngx_int_t get_ttft(ngx_http_request_t *r, ngx_http_variable_value_t *v,
                   uintptr_t) noexcept {
    const auto *meter = meter_of(r);
    std::optional<NumberText> number;
    auto totals = meter == nullptr ? Totals{} : meter->sum().totals;
    if (totals[Figure::first_tokens] != 0) {
        number.emplace(totals[Figure::first_token_milliseconds],
                       kMillisecondDecimals, kMillisecondDecimals);
    }
    return give_number(r, v, number);
}

struct Variable {
    ngx_str_t name;
    ngx_http_get_variable_pt get;
    Figure figure{};
};

constinit Variable variables[] = {
    {"keystile_client"_ngx, get_client},
    {"keystile_decision"_ngx, get_decision},
    {"keystile_key_header"_ngx, get_key_header},
    {"keystile_rule"_ngx, get_rule},
    {"keystile_credential"_ngx, get_credential},
    {"keystile_request_id"_ngx, get_request_id},
    {"keystile_model"_ngx, get_model},
    {"keystile_input_tokens"_ngx, get_figure, Figure::input},
    {"keystile_cached_tokens"_ngx, get_figure, Figure::cached},
    {"keystile_output_tokens"_ngx, get_figure, Figure::output},
    {"keystile_reasoning_tokens"_ngx, get_figure, Figure::reasoning},
    {"keystile_cost"_ngx, get_figure, Figure::cost},
    {"keystile_ttft"_ngx, get_ttft},
};

}  // namespace

ngx_int_t add_variables(ngx_conf_t *cf) noexcept {
    for (auto &variable : variables) {
        auto *v = ngx_http_add_variable(cf, &variable.name,
                                        NGX_HTTP_VAR_NOCACHEABLE);
        if (v == nullptr) {
            return NGX_ERROR;
        }
        v->get_handler = variable.get;
        v->data = static_cast<uintptr_t>(variable.figure);
    }
    return NGX_OK;
}

}  // namespace keystile
