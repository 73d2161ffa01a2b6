// A report with something of everything, for the tests of those who show one.

#pragma once

#include <array>
#include <string>
#include <string_view>

#include "meter_report.hpp"
#include "text_sink.hpp"

namespace keystile {

class StringSink final : public TextSink {
public:
    void put(std::string_view text) noexcept override { text_ += text; }
    const std::string &text() const noexcept { return text_; }

private:
    std::string text_;
};

// What one of the writers makes of a report.
template <typename Write, typename Report>
std::string written(Write write, const Report &report) {
    StringSink sink;
    write(report, sink);
    return sink.text();
}

// `first` is the number of requests; the other figures are made of it.
inline Totals made_up_totals(std::uint64_t first) {
    Totals totals;
    totals[Figure::requests] = first;
    totals[Figure::usage_missing] = first / 10;
    totals[Figure::input] = first * 1000;
    totals[Figure::cached] = first * 600;
    totals[Figure::cache_written] = first * 100;
    totals[Figure::output] = first * 50;
    totals[Figure::reasoning] = first * 20;
    totals[Figure::cost] = first * 1'250'000'000;  // $0.00125
    totals[Figure::sent] = first * 4096;
    totals[Figure::received] = first * 512;
    totals[Figure::first_tokens] = first;
    totals[Figure::first_token_milliseconds] = first * 300;
    totals[Figure::milliseconds] = first * 2500;
    return totals;
}

// Not to be copied: the report refers to its own members.
struct MadeUpReport {
    std::array<ModelReport, 2> ci_models{{
        {"gpt-5.2-codex", made_up_totals(40)},
        {"gpt-5-mini", made_up_totals(12)},
    }};
    std::array<LimitReport, 4> ci_limits{{
        {{LimitKind::requests, LimitPeriod::minute, 60, ""},
         12,
         0,
         1'801'353'660},
        {{LimitKind::tokens, LimitPeriod::day, 2'000'000, "gpt-5*"},
         1'900'000,
         50'000,
         1'801'440'000},
        {{LimitKind::usd, LimitPeriod::month, 50 * kPicodollarsPerUsd, ""},
         12 * kPicodollarsPerUsd + 345'678'900'001,
         500'000,
         1'804'032'000},
        {{LimitKind::concurrent, LimitPeriod::none, 8, ""}, 0, 3, 0},
    }};
    std::array<ModelReport, 1> odd_models{{
        {"</script><b>\"\\\xC3\xA9\xFF", made_up_totals(3)},
    }};
    std::array<ModelReport, 1> no_key_models{{{"", made_up_totals(5)}}};
    std::array<ClientReport, 3> clients{{
        {"team", "ci-runner", ci_models, ci_limits, {}, 3},
        {"team", "<ada>", odd_models, {}, {}, 1},
        {"", "", no_key_models, {}, {}, 0},
    }};
    std::array<CredentialReport, 3> credentials{{
        {"chatgpt",
         1'802'217'600,  // 2027-02-10T00:00:00Z
         0,
         CredentialFault::rejected,
         70,
         {2, 0, 5}},
        {"a\"b",
         1'801'267'200,  // 2027-01-30T00:00:00Z
         1'801'353'690,  // in 90 s
         CredentialFault::rate_limited,
         7,
         {0, 1, 3}},
        {"openai", 0, 0, CredentialFault::rejected, 0, {}},
    }};
    ZoneReport report{};

    MadeUpReport() {
        refuse(0, Denial::rate_limit_exceeded, 7);
        refuse(0, Denial::model_not_allowed, 2);
        refuse(2, Denial::missing_key, 31);
        report.zone = "main";
        report.version = "0.4.0";
        report.now = 1'801'353'600;            // 2027-01-31T00:00:00Z
        report.counted_since = 1'800'748'800;  // a week before
        report.size = 4 << 20;
        report.free = 3 << 20;
        report.full = 2;
        report.processes = 4;
        report.saved_at = report.now - 5;
        report.save_failures = 1;
        report.records[0] = 7;
        report.records[1] = 2;
        report.first_token.buckets[7] = 10;   // to 250 ms
        report.first_token.buckets[8] = 30;   // to 500 ms
        report.first_token.buckets[14] = 20;  // more than 10 s
        report.first_token.milliseconds = 215'500;
        report.duration.buckets[8] = 60;  // to 2.56 s
        report.duration.milliseconds = 130'000;
        report.clients = clients;
        report.credentials = credentials;
    }
    MadeUpReport(const MadeUpReport &) = delete;
    MadeUpReport &operator=(const MadeUpReport &) = delete;

    void refuse(std::size_t client, Denial denial, std::uint64_t times) {
        clients[client].refusals[static_cast<std::size_t>(denial)] = times;
    }

    void leave_out(std::uint64_t count) {
        report.clients_left_out = count;
        report.left_out = made_up_totals(1000);
        report
            .left_out_refusals[static_cast<std::size_t>(Denial::invalid_key)] =
            23;
        report.left_out_open = 5;
    }
};

}  // namespace keystile
