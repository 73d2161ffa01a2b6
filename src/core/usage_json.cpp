#include "usage_json.hpp"

#include <limits>

#include "number_text.hpp"

namespace keystile {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
constexpr Picodollars kPicodollarsPerMicrodollar =
    kPicodollarsPerUsd / 1000000;

std::uint64_t sum(std::uint64_t a, std::uint64_t b) noexcept {
    return a > kMost - b ? kMost : a + b;
}

std::string_view type_of(LimitKind kind) noexcept {
    switch (kind) {
    case LimitKind::requests:
        return "requests";
    case LimitKind::tokens:
        return "total_tokens";
    case LimitKind::usd:
        return "cost_usd";
    case LimitKind::concurrent:
        return "concurrent";
    }
    return {};
}

std::string_view window_of(LimitPeriod period) noexcept {
    switch (period) {
    case LimitPeriod::none:
        return {};
    case LimitPeriod::minute:
        return "minute";
    case LimitPeriod::hour:
        return "hour";
    case LimitPeriod::day:
        return "daily";
    case LimitPeriod::week:
        return "weekly";
    case LimitPeriod::month:
        return "monthly";
    }
    return {};
}

}  // namespace

std::uint64_t limit_value(LimitKind kind, std::uint64_t amount) noexcept {
    if (kind != LimitKind::usd) {
        return amount;
    }
    auto rest = amount % kPicodollarsPerMicrodollar;
    return amount / kPicodollarsPerMicrodollar +
           (rest >= kPicodollarsPerMicrodollar / 2 ? 1 : 0);
}

void write_limit_members(const LimitReport &report,
                         JsonWriter &json) noexcept {
    const auto &limit = report.limit;
    auto most = limit_value(limit.kind, limit.most);
    auto now = limit_value(limit.kind, sum(report.used, report.reserved));

    json.member("limit_type", type_of(limit.kind));
    json.member_or_null("limit_window", window_of(limit.per));
    json.member("max_value", most);
    json.member("current_value", now);
    json.member("remaining_value", now < most ? most - now : 0);
    json.member_or_null("model_filter", limit.model);
    json.name("reset_at");
    json.timestamp(report.resets_at);
}

void write_usage_json(const ClientReport &client, TextSink &sink) noexcept {
    auto totals = client.totals();
    JsonWriter json{sink};

    json.begin_object();
    json.member("request_count", totals[Figure::requests]);
    json.member("total_tokens",
                sum(totals[Figure::input], totals[Figure::output]));
    json.member("cached_input_tokens", totals[Figure::cached]);
    json.name("total_cost_usd");
    json.decimal(totals[Figure::cost], kPicodollarDecimals, 1);
    json.name("limits");
    json.begin_array();
    for (const auto &limit : client.limits) {
        json.begin_object();
        write_limit_members(limit, json);
        json.member("source", "api_key_limit");
        json.end_object();
    }
    json.end_array();
    json.name("upstream_limits");
    json.begin_array();
    json.end_array();
    json.name("account_pool_usage");
    json.begin_object();
    json.name("primary");
    json.null();
    json.name("secondary");
    json.null();
    json.end_object();
    json.end_object();
}

}  // namespace keystile
