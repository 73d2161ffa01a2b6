#include "ngx_http_keystile_limits.hpp"

#include "core/ascii.hpp"
#include "core/content_type.hpp"
#include "core/key_header.hpp"
#include "core/model_pattern.hpp"
#include "core/query.hpp"
#include "core/request_head.hpp"
#include "core/request_model.hpp"
#include "ngx_http_keystile_body_pieces.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_meter.hpp"

namespace keystile {
namespace {

constexpr std::size_t kPeeked = 1024;  // bytes of a body

const Permit &permit_of(const Exchange &exchange) noexcept {
    return **exchange.decision();
}

const Client *client_of(const Exchange &exchange) noexcept {
    return permit_of(exchange).identity().client;
}

// The input tokens that a body may be.
std::uint64_t likely_input(const ngx_http_request_t *r) noexcept {
    auto bytes = r->headers_in.content_length_n;
    return bytes < 0
               ? Meter::kUnknownInput
               : static_cast<std::uint64_t>(bytes) / Meter::kBytesOfToken;
}

// Requires that the exchange has a meter.
bool find_room(ngx_http_request_t *r, Exchange &exchange,
               MeterZone::Scope scope) noexcept {
    auto &meter = *exchange.meter;
    auto input = scope == MeterZone::Scope::stream ? 0 : likely_input(r);
    auto used_up = meter.reserve(scope, meter.http_turn, input);
    if (used_up) {
        exchange.refuse(*used_up);
    }
    return !used_up;
}

// Of a request whose turns are not known yet: the first would be refused, or
// could not be, where the provider speaks by itself. Nothing is received, nor
// unpacked, for a caller who may not ask at all.
bool find_room_for_stream(ngx_http_request_t *r, Exchange &exchange,
                          std::string_view model) noexcept {
    if (auto used_up = exchange.meter->find_used_up(model)) {
        exchange.refuse(*used_up);
        return false;
    }
    return find_room(r, exchange, MeterZone::Scope::stream);
}

constexpr std::uint64_t kMegabyte = 1024 * 1024;

// A body that unpacks to more than that is not read on: a few hundred bytes,
// packed three times, would keep a worker busy for seconds. Texts that a model
// can take, and pictures, which do not get smaller, are well below it.
std::uint64_t most_decoded(ngx_http_request_t *r) noexcept {
    constexpr std::uint64_t unlimited = 128 * kMegabyte;
    constexpr std::uint64_t times = 100;  // as large as what was sent
    auto *clcf = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
    auto most = clcf->client_max_body_size == 0
                    ? unlimited
                    : static_cast<std::uint64_t>(clcf->client_max_body_size);
    auto sent = static_cast<std::uint64_t>(
        ngx_max(r->headers_in.content_length_n, off_t{0}));
    auto unpacked = ngx_min(sent * times, 16 * kMegabyte + 4 * sent);
    return ngx_min(most, ngx_max(kMegabyte, unpacked));
}

// Whether the body is JSON by what its headers say, in codings that can be
// undone: the provider could read it as a form, or in another charset. It must
// also see the lines as they are seen here: none that goes up under an odd name
// and none that Connection takes away.
bool read_type_and_codings(ngx_http_request_t *r, const Exchange &exchange,
                           RequestModel &reader) noexcept {
    auto connection = exchange.headers().connection_lines();
    bool has_type = false;
    bool good =
        ngx::for_each_header(r->headers_in.headers, [&](ngx_table_elt_t &h) {
            auto name = ngx::view(h.key);
            auto value = ngx::view(h.value);
            bool is_type = same_header_name(name, "content-type");
            if (!is_type && !same_header_name(name, "content-encoding")) {
                return true;
            }
            if (name.find('_') != name.npos ||
                connection_names(connection, name)) {
                return false;
            }
            if (is_type) {
                return !std::exchange(has_type, true) && is_json_type(value);
            }
            return reader.add_encoding(value);
        });
    return good && has_type;
}

// What the body asks for, of which nothing is taken for granted; and whether
// that took more than the same bytes would have, had they not been packed.
std::optional<Denial> read_model(ngx_http_request_t *r,
                                 const Exchange &exchange, ModelName &model,
                                 bool &costly) noexcept {
    auto *reader = ngx::make_owned<RequestModel>(r->pool, most_decoded(r));
    if (reader == nullptr) {
        return Denial::metering_unavailable;
    }
    bool known = read_type_and_codings(r, exchange, *reader);
    bool whole = known && for_each_piece(r, [reader](std::string_view piece) {
                     reader->take(piece);
                     return true;
                 });
    auto request = reader->end();
    costly = reader->unpacked() > kMegabyte;
    if (reader->is_too_large()) {
        return Denial::body_too_large;
    }
    if (!whole || request.naming != TurnRequest::Naming::named) {
        return Denial::unreadable_model;
    }
    model = request.model;
    return std::nullopt;
}

// For the name in the counters: the beginning of the body tells, as a rule.
void peek(ngx_http_request_t *r, ModelName &model) noexcept {
    for_each_piece(r, [&model](std::string_view piece) {
        model = peek_model(piece.substr(0, kPeeked)).model;
        return false;
    });
}

bool has_body(ngx_http_request_t *r) noexcept {
    return r->method == NGX_HTTP_POST || r->headers_in.chunked ||
           r->headers_in.content_length_n > 0;
}

bool check_model(ngx_http_request_t *r, Exchange &exchange, ModelName &model,
                 bool &costly) noexcept {
    auto denial = read_model(r, exchange, model, costly);
    if (!denial && !may_use(client_of(exchange)->models, model.view())) {
        denial = Denial::model_not_allowed;
    }
    if (denial) {
        exchange.refuse(*denial);
    }
    return !denial;
}

// Of a body that has been read. One that has cost more than most counts as a
// request, also where it is refused.
bool admit_body(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *meter = exchange.meter;
    ModelName model;
    bool costly = false;
    bool good = check_model(r, exchange, model, costly);
    if (good && meter != nullptr && meter->http_turn.began == 0) {
        meter->http_turn.model = model;
        good = find_room(r, exchange, MeterZone::Scope::turn);
    }
    if (!good && costly && meter != nullptr) {
        meter->charge_request(model.view());
    }
    return good;
}

// The caller's, or else what the rule adds.
ParameterValues find_named_model(const Permit &permit) noexcept {
    constexpr std::string_view name = "model";
    auto found = find_parameter(permit.target().query, name);
    return found.count != 0 ? found
                            : find_parameter(permit.rule().to_args, name);
}

// How often the target names a model, or a deployment of one (Azure), of which
// only answers tell what it is. With several, servers differ in which counts.
std::size_t count_names(const Permit &permit) noexcept {
    std::size_t count = 0;
    for (auto args : {permit.target().query, permit.rule().to_args}) {
        for (std::string_view name : {"model", "deployment"}) {
            count += find_parameter(args, name).count;
        }
    }
    return count;
}

ngx_int_t status_of(const Exchange &exchange) noexcept {
    return static_cast<ngx_int_t>(
        describe(exchange.decision()->error().denial).status);
}

}  // namespace

bool may_use(std::span<const std::string_view> models,
             std::string_view model) noexcept {
    return models.empty() ||
           std::any_of(models.begin(), models.end(), [model](auto pattern) {
               return model_matches(pattern, model);
           });
}

bool needs_body(ngx_http_request_t *r, const Exchange &exchange) noexcept {
    const auto *client = client_of(exchange);
    return client != nullptr && client->needs_model() && has_body(r) &&
           !permit_of(exchange).websocket();
}

ModelName named_model(const Permit &permit) noexcept {
    auto found = find_named_model(permit);
    ModelName model;
    if (count_names(permit) == 1 && found.count == 1 && found.fits()) {
        model.set(found.view());
    }
    return model;
}

bool check_socket_model(Exchange &exchange) noexcept {
    const auto *client = client_of(exchange);
    const auto &permit = permit_of(exchange);
    if (client == nullptr || !client->needs_model() || !permit.websocket()) {
        return true;
    }
    auto names = count_names(permit);
    if (names == 0 || (names == 1 && find_named_model(permit).count == 0)) {
        return true;
    }
    auto model = named_model(permit);
    if (model.view().empty()) {
        exchange.refuse(Denial::unreadable_model);
        return false;
    }
    if (!may_use(client->models, model.view())) {
        exchange.refuse(Denial::model_not_allowed);
        return false;
    }
    return true;
}

bool check_limits(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *zone = loc_conf(r)->meter;
    if (zone == nullptr) {
        return true;  // of a redirect, the meter of the first location stays
    }
    if (r->method == NGX_HTTP_POST &&
        hides_figures(permit_of(exchange).target().query)) {
        exchange.refuse(Denial::query_not_allowed);
        return false;
    }

    const auto &identity = permit_of(exchange).identity();
    auto *ledger =
        find_ledger(*zone, identity.set, identity.client, r->connection->log);
    if (exchange.meter != nullptr && ledger != nullptr &&
        exchange.meter->is_of(*ledger)) {
        return true;
    }
    bool limited =
        identity.client != nullptr && !identity.client->limits.empty();
    if (ledger == nullptr || !is_complete(*ledger)) {
        if (limited) {
            exchange.refuse(Denial::metering_unavailable);
        }
        return !limited;
    }
    exchange.settle_meter();  // of another client, or in another zone
    exchange.meter = ngx::make<Meter>(r->pool, *zone, *ledger,
                                      main_conf(r)->prices, r->pool);
    if (exchange.meter == nullptr) {
        exchange.refuse(Denial::metering_unavailable);
        return false;
    }
    const auto &permit = permit_of(exchange);
    if (needs_body(r, exchange)) {
        return find_room_for_stream(r, exchange, {});
    }
    if (permit.websocket()) {
        return find_room_for_stream(r, exchange, named_model(permit).view());
    }
    return find_room(r, exchange, MeterZone::Scope::both);
}

void check_body(ngx_http_request_t *r) noexcept {
    auto &exchange = *Exchange::find(r);
    auto *meter = exchange.meter;

    if (needs_body(r, exchange)) {
        if (!admit_body(r, exchange)) {
            return ngx_http_finalize_request(r, status_of(exchange));
        }
    } else if (meter != nullptr && has_body(r)) {
        peek(r, meter->http_turn.model);
        meter->http_turn.is_label = true;
    }
    ngx_http_upstream_init(r);
}

}  // namespace keystile
