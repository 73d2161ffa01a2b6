#include "status_prometheus.hpp"

#include <algorithm>
#include <utility>

#include "denial_name.hpp"
#include "limit_text.hpp"
#include "number_text.hpp"
#include "prometheus_text.hpp"

namespace keystile {
namespace {

constexpr std::string_view kLeftOut = "other";

// What is counted of each client and model. Lines of one name follow each
// other, and only the first has words.
constexpr struct {
    std::string_view name;
    std::string_view help;
    Figure figure;
    unsigned decimals = 0;
    std::string_view token_type = {};
} kCounters[] = {
    {"keystile_requests_total", "Turns that went to the provider.",
     Figure::requests},
    {"keystile_usage_missing_total",
     "Turns whose token figures could not be seen.", Figure::usage_missing},
    {"keystile_tokens_total", "Tokens, cached and reasoning ones included.",
     Figure::input, 0, "input"},
    {"keystile_tokens_total", "", Figure::output, 0, "output"},
    {"keystile_cached_input_tokens_total",
     "Input tokens that were read from a cache.", Figure::cached},
    {"keystile_cache_written_input_tokens_total",
     "Input tokens that were put in a cache.", Figure::cache_written},
    {"keystile_reasoning_output_tokens_total",
     "Output tokens that were not shown as answer.", Figure::reasoning},
    {"keystile_cost_usd_total", "Cost by the price table, in US dollars.",
     Figure::cost, kPicodollarDecimals},
    {"keystile_sent_bytes_total",
     "Bytes of request bodies and of clients' WebSocket frames.",
     Figure::sent},
    {"keystile_received_bytes_total",
     "Bytes of reply bodies and of providers' WebSocket frames.",
     Figure::received},
};

// What is told of each limit: amounts of what it limits, or a point in time,
// which limits on what is open at one time do not have.
struct LimitGauge {
    std::string_view name;
    std::string_view help;
    bool is_amount;
    std::uint64_t (*value_of)(const LimitReport &) noexcept;
};
constexpr LimitGauge kLimitGauges[] = {
    {"keystile_limit",
     "The most that a client may use, in requests, tokens or US dollars.",
     true,
     [](const LimitReport &report) noexcept { return report.limit.most; }},
    {"keystile_limit_used", "What of it is used.", true,
     [](const LimitReport &report) noexcept { return report.used; }},
    {"keystile_limit_reserved", "What of it is set aside for what is open.",
     true, [](const LimitReport &report) noexcept { return report.reserved; }},
    {"keystile_limit_reset_timestamp_seconds",
     "When the window of the limit ends.", false,
     [](const LimitReport &report) noexcept {
         return static_cast<std::uint64_t>(report.resets_at);
     }},
};

class Exposition {
public:
    Exposition(const ZoneReport &report, TextSink &sink) noexcept
        : report_{report}, sink_{sink} {}

    void build() noexcept;
    void zone() noexcept;
    void counters() noexcept;
    void refusals() noexcept;
    void records() noexcept;
    void open() noexcept;
    void limits() noexcept;
    void credentials() noexcept;
    void expiries() noexcept;

    template <const auto &Borders>
    void histogram(std::string_view name, std::string_view help,
                   const Histogram<Borders> &histogram) noexcept;

private:
    void family(std::string_view name, std::string_view type,
                std::string_view help) noexcept;
    void gauge(std::string_view name, std::uint64_t value,
               std::string_view help) noexcept;
    void counter(std::string_view name, std::uint64_t value,
                 std::string_view help) noexcept;

    PrometheusSample sample(std::string_view name,
                            std::string_view suffix = {}) const noexcept {
        PrometheusSample sample{sink_, name, suffix};
        sample.label("zone", report_.zone);
        return sample;
    }
    PrometheusSample sample(std::string_view name,
                            const ClientReport &client) const noexcept {
        auto of_client = sample(name);
        of_client.label("set", client.set).label("client", client.id);
        return of_client;
    }

    PrometheusSample sample(std::string_view name,
                            const CredentialReport &credential) const noexcept;

    void limit(const LimitGauge &gauge, const ClientReport &client,
               const LimitReport &report) noexcept;

    // Those that are left out are one, the last.
    template <typename Visit>
    void for_each_client(Visit visit) const noexcept {
        std::for_each(report_.clients.begin(), report_.clients.end(), visit);
        if (report_.clients_left_out > 0) {
            ModelReport all{{}, report_.left_out};
            visit(ClientReport{.set = {},
                               .id = kLeftOut,
                               .models = {&all, 1},
                               .limits = {},
                               .refusals = report_.left_out_refusals,
                               .open = report_.left_out_open});
        }
    }

    const ZoneReport &report_;
    TextSink &sink_;
};

void Exposition::family(std::string_view name, std::string_view type,
                        std::string_view help) noexcept {
    put_family(sink_, name, type, help);
}

void Exposition::gauge(std::string_view name, std::uint64_t value,
                       std::string_view help) noexcept {
    family(name, "gauge", help);
    sample(name).value(value);
}

void Exposition::counter(std::string_view name, std::uint64_t value,
                         std::string_view help) noexcept {
    family(name, "counter", help);
    sample(name).value(value);
}

void Exposition::build() noexcept {
    family("keystile_build_info", "gauge",
           "Always 1; the version of keystile.");
    PrometheusSample{sink_, "keystile_build_info"}
        .label("version", report_.version)
        .value(1);
}

void Exposition::zone() noexcept {
    gauge("keystile_zone_size_bytes", report_.size, "Memory of the zone.");
    gauge("keystile_zone_free_bytes", report_.free,
          "Memory of the zone that is not in use.");
    counter("keystile_zone_full_total", report_.full,
            "Times that the zone had no room for a client, a model or a "
            "reservation.");
    gauge("keystile_zone_processes", report_.processes,
          "Worker processes that use the zone.");
    if (report_.saved_at > 0) {
        gauge("keystile_state_saved_timestamp_seconds",
              static_cast<std::uint64_t>(report_.saved_at),
              "When the state file was last written.");
    }
    counter("keystile_state_save_failures_total", report_.save_failures,
            "Times that the state file could not be written.");
    gauge("keystile_clients_left_out", report_.clients_left_out,
          "Clients that are counted together, as \"other\".");
}

void Exposition::counters() noexcept {
    for (const auto &counter : kCounters) {
        if (!counter.help.empty()) {
            family(counter.name, "counter", counter.help);
        }
        for_each_client([&](const ClientReport &client) {
            for (const auto &model : client.models) {
                auto line = sample(counter.name, client);
                line.label("gen_ai_request_model", model.model);
                if (!counter.token_type.empty()) {
                    line.label("gen_ai_token_type", counter.token_type);
                }
                line.value(model.totals[counter.figure], counter.decimals);
            }
        });
    }
}

void Exposition::refusals() noexcept {
    constexpr std::string_view kName = "keystile_refusals_total";
    family(kName, "counter", "Requests that did not go to the provider.");
    for_each_client([&](const ClientReport &client) {
        for (std::size_t i = 0; i < client.refusals.size(); i++) {
            if (client.refusals[i] != 0) {
                sample(kName, client)
                    .label("reason", name_of(static_cast<Denial>(i)))
                    .value(client.refusals[i]);
            }
        }
    });
}

void Exposition::records() noexcept {
    constexpr std::string_view kName = "keystile_records_total";
    family(kName, "counter", "Turns to be recorded, and what was dropped.");
    bool any = std::any_of(report_.records.begin(), report_.records.end(),
                           [](auto n) { return n != 0; });
    // Zeros too: increase() does not see where a series begins.
    for (std::size_t i = 0; any && i < report_.records.size(); i++) {
        sample(kName)
            .label("dropped", name_of(static_cast<RecordLoss>(i)))
            .value(report_.records[i]);
    }
}

void Exposition::open() noexcept {
    constexpr std::string_view kName = "keystile_open";
    family(kName, "gauge", "Requests and WebSockets that are open.");
    for_each_client([&](const ClientReport &client) {
        sample(kName, client).value(client.open);
    });
}

void Exposition::limits() noexcept {
    for (const auto &gauge : kLimitGauges) {
        family(gauge.name, "gauge", gauge.help);
        for (const auto &client : report_.clients) {
            for (const auto &report : client.limits) {
                limit(gauge, client, report);
            }
        }
    }
}

void Exposition::limit(const LimitGauge &gauge, const ClientReport &client,
                       const LimitReport &report) noexcept {
    const auto &limit = report.limit;
    bool is_usd = limit.kind == LimitKind::usd && gauge.is_amount;
    if (!gauge.is_amount && report.resets_at <= 0) {
        return;
    }
    sample(gauge.name, client)
        .label("kind", name_of(limit.kind))
        .label("per", name_of(limit.per))
        .label("model", limit.model)
        .value(gauge.value_of(report), is_usd ? kPicodollarDecimals : 0);
}

PrometheusSample Exposition::sample(
    std::string_view name, const CredentialReport &credential) const noexcept {
    PrometheusSample sample{sink_, name};
    sample.label("credential", credential.name);
    return sample;
}

void Exposition::credentials() noexcept {
    const auto &all = report_.credentials;
    if (all.empty()) {
        return;
    }
    constexpr std::string_view kSent = "keystile_credential_requests_total";
    family(kSent, "counter", "Requests that were sent with a credential.");
    for (const auto &credential : all) {
        sample(kSent, credential).value(credential.sent);
    }
    constexpr std::string_view kRefused = "keystile_credential_refusals_total";
    family(kRefused, "counter", "Times that the provider refused it.");
    for (const auto &credential : all) {
        for (std::size_t i = 0; i < kCredentialFaults; i++) {
            sample(kRefused, credential)
                .label("reason", name_of(static_cast<CredentialFault>(i)))
                .value(credential.refusals[i]);
        }
    }
    constexpr std::string_view kCooling =
        "keystile_credential_cooldown_seconds";
    family(kCooling, "gauge", "For how long it is not sent; 0: it is.");
    for (const auto &credential : all) {
        auto back_at = std::max(credential.back_at, report_.now);
        sample(kCooling, credential)
            .value(static_cast<std::uint64_t>(back_at - report_.now));
    }
    expiries();
}

void Exposition::expiries() noexcept {
    constexpr std::string_view kName =
        "keystile_credential_expiry_timestamp_seconds";
    bool first = true;
    for (const auto &credential : report_.credentials) {
        if (credential.expires == 0) {
            continue;
        }
        if (std::exchange(first, false)) {
            family(kName, "gauge", "When the token of a credential expires.");
        }
        sample(kName, credential)
            .value(static_cast<std::uint64_t>(credential.expires));
    }
}

template <const auto &Borders>
void Exposition::histogram(std::string_view name, std::string_view help,
                           const Histogram<Borders> &histogram) noexcept {
    family(name, "histogram", help);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < histogram.kBuckets; i++) {
        count += histogram.buckets[i];
        if (i < Borders.size()) {
            NumberText border{Borders[i], kMillisecondDecimals};
            sample(name, "_bucket").label("le", border.view()).value(count);
        }
    }
    sample(name, "_bucket").label("le", "+Inf").value(count);
    sample(name, "_sum").value(histogram.milliseconds, kMillisecondDecimals);
    sample(name, "_count").value(count);
}

}  // namespace

void write_prometheus(const ZoneReport &report, TextSink &sink) noexcept {
    Exposition exposition{report, sink};
    exposition.build();
    exposition.counters();
    exposition.refusals();
    exposition.records();
    exposition.open();
    exposition.limits();
    exposition.histogram("gen_ai_server_time_to_first_token_seconds",
                         "Time from admission to the first byte of an answer.",
                         report.first_token);
    exposition.histogram("gen_ai_server_request_duration_seconds",
                         "Time from admission to the end of a turn.",
                         report.duration);
    exposition.zone();
    exposition.credentials();
}

}  // namespace keystile
