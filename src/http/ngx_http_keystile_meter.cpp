#include "ngx_http_keystile_meter.hpp"

#include "core/model_pattern.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

// 2^64 - 1 where the sum would be more.
std::uint64_t add(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? ~std::uint64_t{0} : sum;
}

std::uint64_t tokens_of(const Usage &usage) noexcept {
    return add(usage.input.value_or(0), usage.output.value_or(0));
}

// What a turn is taken to need before it is known.
Usage likely_usage(const Turn &turn) noexcept {
    Usage usage{};
    usage.input = turn.likely_input;
    usage.output = Meter::kUnknownOutput;
    return usage;
}

bool has_figures(const Usage &usage) noexcept {
    return usage.input.has_value() || usage.output.has_value();
}

void add_usage(Totals &totals, const Usage &usage) noexcept {
    totals[Figure::input] = usage.input.value_or(0);
    totals[Figure::cached] = usage.cached.value_or(0);
    totals[Figure::cache_written] = usage.cache_written.value_or(0);
    totals[Figure::output] = usage.output.value_or(0);
    totals[Figure::reasoning] = usage.reasoning.value_or(0);
}

// A prewarm costs nothing, but not every server knows what "generate": false
// means: one may have been at it when it was cut off.
bool is_free(const Turn &turn, const Outcome &ended) noexcept {
    const auto &usage = ended.usage;
    bool had_begun = !usage.complete && !usage.model.view().empty();
    return turn.prewarm && usage.output.value_or(0) == 0 && !had_begun;
}

// A line that all processes read is written only where that changes it.
void note_change(MeterZone &zone) noexcept {
    if (!zone.changed.load(std::memory_order_relaxed)) {
        zone.changed.store(true, std::memory_order_relaxed);
    }
}

}  // namespace

Meter::Meter(Zone &zone, Ledger &ledger, const PriceTable *prices,
             ngx_pool_t *pool) noexcept
    : zone_{zone}, ledger_{ledger}, prices_{prices}, pool_{pool} {
    ledger_.presence->open.add(1);
}

std::optional<UsedUp> Meter::reserve(MeterZone::Scope scope, Turn &turn,
                                     std::uint64_t input_tokens) noexcept {
    if (scope != MeterZone::Scope::stream) {
        turn.began = ngx_current_msec;
        turn.likely_input = input_tokens;
    }
    if (ledger_.limits.empty()) {
        return std::nullopt;
    }
    auto likely = likely_usage(turn);
    Spending estimate{.tokens = tokens_of(likely), .cost = cost(likely, turn)};

    auto &held = scope == MeterZone::Scope::stream ? stream_ : turn.held;
    if (held.room().empty()) {
        held.set_room(
            ngx::make_array<Reservation::Part>(pool_, ledger_.limits.size()));
    }
    if (held.room().empty()) {
        return UsedUp{nullptr, 0, 0};
    }
    ZoneLock lock{zone_};
    return zone_.meter->reserve(ledger_.limits, ledger_.states, scope,
                                turn.model.view(), estimate, ngx_time(),
                                zone_.place, held);
}

std::optional<UsedUp> Meter::find_used_up(
    std::string_view model) const noexcept {
    if (ledger_.limits.empty()) {
        return std::nullopt;
    }
    ZoneLock lock{zone_};
    return MeterZone::find_used_up(ledger_.limits, ledger_.states, model,
                                   ngx_time());
}

void Meter::charge_request(std::string_view model) noexcept {
    if (ledger_.limits.empty() || zone_.place == 0) {
        return;
    }
    {
        ZoneLock lock{zone_};
        MeterZone::charge(ledger_.limits, ledger_.states, model, true, {},
                          ngx_time());
    }
    note_change(*zone_.meter);
}

// The name that the provider gives the model may have a date that the request
// leaves out, or the other way round.
Picodollars Meter::cost(const Usage &usage, const Turn &turn) const noexcept {
    auto named = usage.model.view();
    const auto *price =
        prices_ == nullptr
            ? nullptr
            : prices_->find(named.empty() ? turn.model.view() : named);
    return price == nullptr ? 0 : cost_of(usage, *price);
}

// The same for limits: what a body is labelled with need not be the model that
// answers, if that does not say its name; nor be the only one.
Picodollars Meter::likely_cost(Picodollars known, const Usage &usage,
                               const Turn &turn) const noexcept {
    bool is_sure =
        !usage.mixed && (!turn.is_label || !usage.model.view().empty());
    const auto *any =
        is_sure || prices_ == nullptr ? nullptr : prices_->find({});
    return any == nullptr ? known : ngx_max(known, cost_of(usage, *any));
}

// What a caller calls a model is only believed where a provider has said the
// same before: anyone could fill the zone with names.
std::string_view Meter::known(std::string_view model) const noexcept {
    for (auto *series = ledger_.record->series.load(std::memory_order_acquire);
         series != nullptr; series = series->next) {
        if (series->model.view() == model) {
            return model;
        }
    }
    return {};
}

void Meter::settle(Turn &turn, const Outcome &ended) noexcept {
    if (zone_.place == 0) {
        return;  // this process has given everything back
    }
    auto outcome = is_free(turn, ended) ? Outcome{} : ended;
    const auto &usage = outcome.usage;
    auto known_cost = cost(usage, turn);
    Spending spent{.tokens = tokens_of(usage),
                   .cost = likely_cost(known_cost, usage, turn)};

    Totals totals;
    add_usage(totals, usage);
    totals[Figure::cost] = known_cost;
    totals[Figure::requests] = outcome.was_sent;
    bool missing = outcome.is_open && !(usage.complete && has_figures(usage));
    totals[Figure::usage_missing] = missing;
    sum_.has_usage = sum_.has_usage || has_figures(usage);

    if (missing) {
        // What cannot be seen is taken for what was set aside, at the price
        // of a model that may not have been known then, and a token for each
        // event, if those are more.
        auto likely = likely_usage(turn);
        likely.model = usage.model;
        likely.output = ngx_max(*likely.output, usage.texts);
        spent.tokens = ngx_max(spent.tokens, tokens_of(likely));
        spent.cost =
            ngx_max(spent.cost, likely_cost(cost(likely, turn), likely, turn));
    }
    const auto &model = usage.model.view().empty() ? turn.model : usage.model;
    if (!ledger_.limits.empty()) {
        charge(turn, outcome.was_sent, model.view(), spent);
    }
    count_times(turn, totals);
    sum_.model = model;
    count(usage.model.view().empty() ? known(turn.model.view())
                                     : usage.model.view(),
          totals);
}

// `model`: that has answered, as far as is known.
void Meter::charge(Turn &turn, bool was_sent, std::string_view model,
                   const Spending &spent) noexcept {
    ZoneLock lock{zone_};
    if (turn.unasked) {
        MeterZone::charge(ledger_.limits, ledger_.states, model, was_sent,
                          spent, ngx_time());
        return;
    }
    if (!model.empty() && !are_one_model(model, turn.model.view())) {
        MeterZone::charge_others(ledger_.limits, ledger_.states, model,
                                 turn.held, spent, ngx_time());
    }
    zone_.meter->settle(turn.held, was_sent, spent, ngx_time());
}

void Meter::count_times(const Turn &turn, Totals &totals) noexcept {
    if (totals[Figure::requests] == 0) {
        return;
    }
    auto *times = zone_.meter->times(zone_.place);
    auto elapsed = ngx_current_msec - turn.began;
    totals[Figure::milliseconds] = elapsed;
    if (times != nullptr) {
        times->duration[DurationHistogram::bucket_of(elapsed)].add(1);
        times->duration_milliseconds.add(elapsed);
    }
    if (turn.first_token != 0) {
        add_first_token(turn, totals);
        auto waited = totals[Figure::first_token_milliseconds];
        if (times != nullptr) {
            times->first_token[FirstTokenHistogram::bucket_of(waited)].add(1);
            times->first_token_milliseconds.add(waited);
        }
    }
}

void Meter::add_first_token(const Turn &turn, Totals &totals) noexcept {
    if (turn.first_token != 0) {
        totals[Figure::first_tokens] += 1;
        totals[Figure::first_token_milliseconds] +=
            turn.first_token - turn.began;
    }
}

Meter::Sum Meter::sum() const noexcept {
    auto sum = sum_;
    if (sum.model.view().empty()) {
        sum.model = http_turn.model;
    }
    if (reader == nullptr) {
        return sum;
    }
    auto usage = reader->usage();
    Totals totals;
    add_usage(totals, usage);
    totals[Figure::cost] = cost(usage, http_turn);
    add_first_token(http_turn, totals);
    sum.totals += totals;
    sum.has_usage = sum.has_usage || has_figures(usage);
    if (!usage.model.view().empty()) {
        sum.model = usage.model;
    }
    return sum;
}

// Adds to the counters, with the bytes that have passed since the last time.
void Meter::count(std::string_view model, const Totals &figures) noexcept {
    auto totals = figures;
    totals[Figure::sent] = std::exchange(sent_, 0);
    totals[Figure::received] = std::exchange(received_, 0);
    sum_.totals += totals;

    auto *series = find_series(zone_, ledger_, model);
    if (series == nullptr) {
        return;  // the zone is full, which it has counted
    }
    for (std::size_t i = 0; i < kFigures; i++) {
        auto n = totals[static_cast<Figure>(i)];
        if (n != 0) {
            series->figures[i].add(n);
        }
    }
    note_change(*zone_.meter);
}

void Meter::close() noexcept {
    if (zone_.place == 0) {
        return;
    }
    if (!stream_.empty()) {
        ZoneLock lock{zone_};
        zone_.meter->settle(stream_, true, {}, ngx_time());
    }
    if (sent_ != 0 || received_ != 0) {
        count(known(sum_.model.view()), {});
    }
    ledger_.presence->open.subtract(1);
}

void count_refusal(ngx_http_request_t *r, const Identity &identity,
                   Denial denial) noexcept {
    auto *zone = loc_conf(r)->meter;
    if (zone == nullptr || zone->meter == nullptr) {
        return;
    }
    auto *ledger =
        find_ledger(*zone, identity.set, identity.client, r->connection->log);
    if (ledger != nullptr && ledger->presence != nullptr) {
        ledger->presence->refusals[static_cast<std::size_t>(denial)].add(1);
        note_change(*zone->meter);
    }
}

}  // namespace keystile
