#include "status_prometheus.hpp"

#include <gtest/gtest.h>

#include <set>
#include <sstream>
#include <vector>

#include "made_up_report.hpp"

namespace keystile {
namespace {

std::vector<std::string> lines_of(const ZoneReport &report) {
    std::istringstream text{written(write_prometheus, report)};
    std::vector<std::string> lines;
    for (std::string line; std::getline(text, line);) {
        lines.push_back(line);
    }
    return lines;
}

// The value of the one line that begins with `sample`; empty if there is none.
std::string value_of(const ZoneReport &report, const std::string &sample) {
    std::string value;
    for (const auto &line : lines_of(report)) {
        if (line.starts_with(sample + ' ')) {
            EXPECT_EQ(value, "") << "twice: " << line;
            value = line.substr(sample.size() + 1);
        }
    }
    return value;
}

// The name of the metric that a line belongs to: without the endings that the
// lines of a histogram have.
std::string family_of(const std::string &line, bool is_histogram) {
    auto name = line.substr(0, line.find_first_of("{ "));
    for (const std::string ending : {"_bucket", "_sum", "_count"}) {
        if (is_histogram && name.ends_with(ending)) {
            return name.substr(0, name.size() - ending.size());
        }
    }
    return name;
}

TEST(StatusPrometheus, FiguresOfEachClientAndModel) {
    MadeUpReport made_up;
    const std::string of =
        "{zone=\"main\",set=\"team\",client=\"ci-runner\","
        "gen_ai_request_model=\"gpt-5-mini\"";
    struct {
        std::string sample;
        const char *value;
    } cases[] = {
        {"keystile_requests_total" + of + "}", "12"},
        {"keystile_usage_missing_total" + of + "}", "1"},
        {"keystile_tokens_total" + of + ",gen_ai_token_type=\"input\"}",
         "12000"},
        {"keystile_tokens_total" + of + ",gen_ai_token_type=\"output\"}",
         "600"},
        {"keystile_cached_input_tokens_total" + of + "}", "7200"},
        {"keystile_cache_written_input_tokens_total" + of + "}", "1200"},
        {"keystile_reasoning_output_tokens_total" + of + "}", "240"},
        {"keystile_cost_usd_total" + of + "}", "0.015"},
        {"keystile_sent_bytes_total" + of + "}", "49152"},
        {"keystile_received_bytes_total" + of + "}", "6144"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(value_of(made_up.report, c.sample), c.value) << c.sample;
    }
}

TEST(StatusPrometheus, CallersWithoutKeyAndUnknownModelsAreEmpty) {
    MadeUpReport made_up;
    EXPECT_EQ(value_of(made_up.report,
                       "keystile_requests_total{zone=\"main\",set=\"\","
                       "client=\"\",gen_ai_request_model=\"\"}"),
              "5");
    EXPECT_EQ(value_of(made_up.report,
                       "keystile_refusals_total{zone=\"main\",set=\"\","
                       "client=\"\",reason=\"missing_key\"}"),
              "31");
}

TEST(StatusPrometheus, LabelsAreEscaped) {
    MadeUpReport made_up;
    made_up.clients[1].id = "a\nb";
    EXPECT_EQ(value_of(made_up.report,
                       "keystile_requests_total{zone=\"main\",set=\"team\","
                       "client=\"a\\nb\",gen_ai_request_model=\"</script><b>"
                       "\\\"\\\\\xC3\xA9\xEF\xBF\xBD\"}"),
              "3");
}

TEST(StatusPrometheus, LeftOutClientsAreOther) {
    const std::string sample =
        "keystile_requests_total{zone=\"main\",set=\"\",client=\"other\","
        "gen_ai_request_model=\"\"}";
    MadeUpReport made_up;
    EXPECT_EQ(value_of(made_up.report, sample), "");
    made_up.leave_out(17);
    EXPECT_EQ(value_of(made_up.report, sample), "1000");
    EXPECT_EQ(
        value_of(made_up.report, "keystile_clients_left_out{zone=\"main\"}"),
        "17");
    std::string of = R"({zone="main",set="",client="other")";
    EXPECT_EQ(value_of(made_up.report, "keystile_open" + of + "}"), "5");
    EXPECT_EQ(value_of(made_up.report, "keystile_refusals_total" + of +
                                           R"(,reason="invalid_key"})"),
              "23");
}

TEST(StatusPrometheus, OnlyRefusalsThatOccurred) {
    MadeUpReport made_up;
    std::vector<std::string> refusals;
    for (const auto &line : lines_of(made_up.report)) {
        if (line.starts_with("keystile_refusals_total")) {
            refusals.push_back(line);
        }
    }
    const std::string of =
        "keystile_refusals_total{zone=\"main\",set=\"team\","
        "client=\"ci-runner\",reason=\"";
    EXPECT_EQ(refusals, (std::vector<std::string>{
                            of + "model_not_allowed\"} 2",
                            of + "rate_limit_exceeded\"} 7",
                            "keystile_refusals_total{zone=\"main\",set=\"\","
                            "client=\"\",reason=\"missing_key\"} 31"}));
}

TEST(StatusPrometheus, OpenNow) {
    MadeUpReport made_up;
    EXPECT_EQ(value_of(made_up.report,
                       "keystile_open{zone=\"main\",set=\"team\","
                       "client=\"ci-runner\"}"),
              "3");
}

TEST(StatusPrometheus, Limits) {
    MadeUpReport made_up;
    const std::string of =
        "{zone=\"main\",set=\"team\",client=\"ci-runner\",kind=";
    const std::string tokens = of + "\"tokens\",per=\"day\",model=\"gpt-5*\"}";
    const std::string usd = of + "\"usd\",per=\"month\",model=\"\"}";
    const std::string concurrent = of + "\"concurrent\",per=\"\",model=\"\"}";
    struct {
        std::string sample;
        const char *value;
    } cases[] = {
        {"keystile_limit" + tokens, "2000000"},
        {"keystile_limit_used" + tokens, "1900000"},
        {"keystile_limit_reserved" + tokens, "50000"},
        {"keystile_limit_reset_timestamp_seconds" + tokens, "1801440000"},
        {"keystile_limit" + usd, "50"},
        {"keystile_limit_used" + usd, "12.345678900001"},
        {"keystile_limit_reserved" + usd, "0.0000005"},
        {"keystile_limit_reset_timestamp_seconds" + usd, "1804032000"},
        {"keystile_limit" + concurrent, "8"},
        {"keystile_limit_reserved" + concurrent, "3"},
        {"keystile_limit_reset_timestamp_seconds" + concurrent, ""},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(value_of(made_up.report, c.sample), c.value) << c.sample;
    }
}

TEST(StatusPrometheus, HistogramsAreCumulativeAndInSeconds) {
    MadeUpReport made_up;
    const std::string name = "gen_ai_server_time_to_first_token_seconds";
    struct {
        std::string sample;
        const char *value;
    } cases[] = {
        {name + "_bucket{zone=\"main\",le=\"0.1\"}", "0"},
        {name + "_bucket{zone=\"main\",le=\"0.25\"}", "10"},
        {name + "_bucket{zone=\"main\",le=\"0.5\"}", "40"},
        {name + "_bucket{zone=\"main\",le=\"10\"}", "40"},
        {name + "_bucket{zone=\"main\",le=\"+Inf\"}", "60"},
        {name + "_sum{zone=\"main\"}", "215.5"},
        {name + "_count{zone=\"main\"}", "60"},
        {"gen_ai_server_request_duration_seconds_bucket{zone=\"main\","
         "le=\"81.92\"}",
         "60"},
        {"gen_ai_server_request_duration_seconds_sum{zone=\"main\"}", "130"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(value_of(made_up.report, c.sample), c.value) << c.sample;
    }
}

TEST(StatusPrometheus, RecordsByWhatWasDropped) {
    MadeUpReport made_up;
    const std::string name = "keystile_records_total{zone=\"main\",dropped=";
    EXPECT_EQ(value_of(made_up.report, name + "\"\"}"), "7");
    EXPECT_EQ(value_of(made_up.report, name + "\"upstream_status\"}"), "2");
}

TEST(StatusPrometheus, TheZoneItself) {
    MadeUpReport made_up;
    struct {
        const char *name;
        const char *value;
    } cases[] = {
        {"keystile_zone_size_bytes", "4194304"},
        {"keystile_zone_free_bytes", "3145728"},
        {"keystile_zone_full_total", "2"},
        {"keystile_zone_processes", "4"},
        {"keystile_state_saved_timestamp_seconds", "1801353595"},
        {"keystile_state_save_failures_total", "1"},
        {"keystile_clients_left_out", "0"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(
            value_of(made_up.report, c.name + std::string{"{zone=\"main\"}"}),
            c.value)
            << c.name;
    }
    EXPECT_EQ(
        value_of(made_up.report, "keystile_build_info{version=\"0.4.0\"}"),
        "1");
}

TEST(StatusPrometheus, NoTimeOfAStateThatWasNeverSaved) {
    MadeUpReport made_up;
    made_up.report.saved_at = 0;
    EXPECT_EQ(written(write_prometheus, made_up.report)
                  .find("keystile_state_saved_timestamp_seconds"),
              std::string::npos);
}

// What the format asks of a whole text: each metric has its words, once, and
// then all of its lines; no line is there twice.
TEST(StatusPrometheus, IsInOrder) {
    MadeUpReport made_up;
    made_up.leave_out(1);
    std::set<std::string> families;
    std::set<std::string> samples;
    std::string family;
    std::string type;
    for (const auto &line : lines_of(made_up.report)) {
        std::istringstream words{line};
        std::string sign, word, name;
        words >> sign >> word >> name;
        if (line.starts_with("# HELP ")) {
            EXPECT_TRUE(families.insert(name).second) << "again: " << line;
            family = name;
            EXPECT_GT(line.size(), ("# HELP " + name + " ").size()) << line;
        } else if (line.starts_with("# TYPE ")) {
            EXPECT_EQ(name, family);
            words >> type;
            EXPECT_EQ(type == "counter", name.ends_with("_total")) << line;
        } else {
            EXPECT_EQ(family_of(line, type == "histogram"), family) << line;
            EXPECT_TRUE(samples.insert(line.substr(0, line.rfind(' '))).second)
                << "twice: " << line;
        }
    }
    EXPECT_EQ(families.size(), 30U);
}

TEST(StatusPrometheus, CredentialsThatExpire) {
    const std::string name = "keystile_credential_expiry_timestamp_seconds";
    MadeUpReport made_up;
    EXPECT_EQ(value_of(made_up.report, name + R"({credential="chatgpt"})"),
              "1802217600");
    EXPECT_EQ(value_of(made_up.report, name + R"({credential="a\"b"})"),
              "1801267200");
    EXPECT_EQ(value_of(made_up.report, name + R"({credential="openai"})"), "");
    made_up.report.credentials = {};
    EXPECT_EQ(
        written(write_prometheus, made_up.report).find("keystile_credential_"),
        std::string::npos);
}

TEST(StatusPrometheus, CredentialsAndTheirRefusals) {
    MadeUpReport made_up;
    const std::string prefix = "keystile_credential_";
    const std::vector<std::pair<std::string, std::string>> samples = {
        {"requests_total{credential=\"chatgpt\"}", "70"},
        {"requests_total{credential=\"openai\"}", "0"},
        {"refusals_total{credential=\"chatgpt\",reason=\"rejected\"}", "2"},
        {"refusals_total{credential=\"chatgpt\",reason=\"rate_limited\"}",
         "5"},
        {"refusals_total{credential=\"a\\\"b\",reason=\"forbidden\"}", "1"},
        {"cooldown_seconds{credential=\"chatgpt\"}", "0"},
        {"cooldown_seconds{credential=\"a\\\"b\"}", "90"},
    };
    for (const auto &[sample, value] : samples) {
        EXPECT_EQ(value_of(made_up.report, prefix + sample), value) << sample;
    }
}

TEST(StatusPrometheus, NothingCountedYet) {
    ZoneReport report{};
    report.zone = "main";
    EXPECT_EQ(value_of(report,
                       "gen_ai_server_request_duration_seconds_count{"
                       "zone=\"main\"}"),
              "0");
}

}  // namespace
}  // namespace keystile
