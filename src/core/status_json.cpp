#include "status_json.hpp"

#include "denial_name.hpp"
#include "json_writer.hpp"
#include "number_text.hpp"
#include "usage_json.hpp"

namespace keystile {
namespace {

constexpr struct {
    std::string_view name;
    Figure figure;
    unsigned decimals = 0;
} kMembers[] = {
    {"requests", Figure::requests},
    {"usage_missing", Figure::usage_missing},
    {"input_tokens", Figure::input},
    {"cached_input_tokens", Figure::cached},
    {"cache_written_input_tokens", Figure::cache_written},
    {"output_tokens", Figure::output},
    {"reasoning_output_tokens", Figure::reasoning},
    {"cost_usd", Figure::cost, kPicodollarDecimals},
    {"sent_bytes", Figure::sent},
    {"received_bytes", Figure::received},
    {"first_tokens", Figure::first_tokens},
    {"first_token_seconds", Figure::first_token_milliseconds,
     kMillisecondDecimals},
    {"seconds", Figure::milliseconds, kMillisecondDecimals},
};
static_assert(std::size(kMembers) == kFigures);

void write_figures(const Totals &totals, JsonWriter &json) noexcept {
    for (const auto &member : kMembers) {
        json.name(member.name);
        json.decimal(totals[member.figure], member.decimals);
    }
}

void write_totals(const Totals &totals, JsonWriter &json) noexcept {
    json.name("totals");
    json.begin_object();
    write_figures(totals, json);
    json.end_object();
}

template <const auto &Borders>
void write_histogram(std::string_view name,
                     const Histogram<Borders> &histogram,
                     JsonWriter &json) noexcept {
    std::uint64_t count = 0;
    for (auto bucket : histogram.buckets) {
        count += bucket;
    }
    json.name(name);
    json.begin_object();
    json.member("count", count);
    json.name("sum_seconds");
    json.decimal(histogram.milliseconds, kMillisecondDecimals);
    json.name("buckets");
    json.begin_array();
    count = 0;
    for (std::size_t i = 0; i < histogram.kBuckets; i++) {
        count += histogram.buckets[i];
        json.begin_object();
        json.name("le");
        i < Borders.size() ? json.decimal(Borders[i], kMillisecondDecimals)
                           : json.null();
        json.member("count", count);
        json.end_object();
    }
    json.end_array();
    json.end_object();
}

void write_models(std::span<const ModelReport> models,
                  JsonWriter &json) noexcept {
    json.name("models");
    json.begin_array();
    for (const auto &model : models) {
        json.begin_object();
        json.member_or_null("model", model.model);
        write_figures(model.totals, json);
        json.end_object();
    }
    json.end_array();
}

void write_limits(std::span<const LimitReport> limits,
                  JsonWriter &json) noexcept {
    json.name("limits");
    json.begin_array();
    for (const auto &limit : limits) {
        json.begin_object();
        write_limit_members(limit, json);
        json.member("reserved_value",
                    limit_value(limit.limit.kind, limit.reserved));
        json.end_object();
    }
    json.end_array();
}

void write_refusals(const Refusals &refusals, JsonWriter &json) noexcept {
    json.name("refusals");
    json.begin_object();
    for (std::size_t i = 0; i < refusals.size(); i++) {
        if (refusals[i] != 0) {
            json.member(name_of(static_cast<Denial>(i)), refusals[i]);
        }
    }
    json.end_object();
}

void write_client(const ClientReport &client, JsonWriter &json) noexcept {
    json.begin_object();
    json.member_or_null("set", client.set);
    json.member_or_null("id", client.id);
    json.member("open", client.open);
    write_totals(client.totals(), json);
    write_models(client.models, json);
    write_limits(client.limits, json);
    write_refusals(client.refusals, json);
    json.end_object();
}

void write_zone(const ZoneReport &report, JsonWriter &json) noexcept {
    json.member("zone", report.zone);
    json.member("version", report.version);
    json.name("now");
    json.timestamp(report.now);
    json.name("counted_since");
    json.timestamp(report.counted_since);
    json.member("processes", report.processes);

    json.name("memory");
    json.begin_object();
    json.member("size", report.size);
    json.member("free", report.free);
    json.member("full", report.full);
    json.end_object();

    json.name("state");
    json.begin_object();
    json.name("saved_at");
    json.timestamp(report.saved_at);
    json.member("failures", report.save_failures);
    json.end_object();
}

void write_credential(const CredentialReport &credential,
                      JsonWriter &json) noexcept {
    json.begin_object();
    json.member("name", credential.name);
    json.name("expires");
    json.timestamp(credential.expires);
    json.member_or_null("cools_down", credential.back_at == 0
                                          ? std::string_view{}
                                          : name_of(credential.fault));
    json.name("back_at");
    json.timestamp(credential.back_at);
    json.member("requests", credential.sent);
    json.name("refusals");
    json.begin_object();
    for (std::size_t i = 0; i < kCredentialFaults; i++) {
        json.member(name_of(static_cast<CredentialFault>(i)),
                    credential.refusals[i]);
    }
    json.end_object();
    json.end_object();
}

void write_credentials(std::span<const CredentialReport> credentials,
                       JsonWriter &json) noexcept {
    json.name("credentials");
    json.begin_array();
    for (const auto &credential : credentials) {
        write_credential(credential, json);
    }
    json.end_array();
}

}  // namespace

void write_status_json(const ZoneReport &report, TextSink &sink) noexcept {
    auto totals = report.left_out;
    for (const auto &client : report.clients) {
        totals += client.totals();
    }

    JsonWriter json{sink};
    json.begin_object();
    write_zone(report, json);
    write_credentials(report.credentials, json);
    write_totals(totals, json);
    write_histogram("time_to_first_token", report.first_token, json);
    write_histogram("duration", report.duration, json);
    json.name("clients");
    json.begin_array();
    for (const auto &client : report.clients) {
        write_client(client, json);
    }
    json.end_array();
    json.member("clients_left_out", report.clients_left_out);
    json.end_object();
}

}  // namespace keystile
