#include "status_json.hpp"

#include <gtest/gtest.h>
#include <jansson.h>

#include "made_up_report.hpp"

namespace keystile {
namespace {

TEST(StatusJson, OfAZoneWithoutClients) {
    ZoneReport report{};
    report.zone = "main";
    report.version = "0.4.0";
    report.now = 1'801'353'600;
    report.counted_since = 1'801'353'000;
    auto text = written(write_status_json, report);
    EXPECT_TRUE(text.starts_with(
        R"({"zone":"main","version":"0.4.0","now":"2027-01-31T00:00:00Z",)"
        R"("counted_since":"2027-01-30T23:50:00Z","processes":0,)"
        R"("memory":{"size":0,"free":0,"full":0},)"
        R"("state":{"saved_at":null,"failures":0},"credentials":[],)"
        R"("totals":{"requests":0,"usage_missing":0,"input_tokens":0,)"
        R"("cached_input_tokens":0,"cache_written_input_tokens":0,)"
        R"("output_tokens":0,"reasoning_output_tokens":0,"cost_usd":0,)"
        R"("sent_bytes":0,"received_bytes":0,"first_tokens":0,)"
        R"("first_token_seconds":0,"seconds":0},)"
        R"("time_to_first_token":{"count":0,"sum_seconds":0,"buckets":[)"
        R"({"le":0.005,"count":0},)"))
        << text;
    EXPECT_TRUE(text.ends_with(R"({"le":null,"count":0}]},"clients":[],)"
                               R"("clients_left_out":0})"))
        << text;
}

TEST(StatusJson, AClient) {
    MadeUpReport made_up;
    auto text = written(write_status_json, made_up.report);
    for (const char *part : {
             R"({"set":"team","id":"ci-runner","open":3,"totals":{)"
             R"("requests":52,"usage_missing":5,"input_tokens":52000,)"
             R"("cached_input_tokens":31200,)"
             R"("cache_written_input_tokens":5200,"output_tokens":2600,)"
             R"("reasoning_output_tokens":1040,"cost_usd":0.065,)"
             R"("sent_bytes":212992,"received_bytes":26624,)"
             R"("first_tokens":52,"first_token_seconds":15.6,"seconds":130},)"
             R"("models":[{"model":"gpt-5.2-codex","requests":40,)",
             R"({"limit_type":"cost_usd","limit_window":"monthly",)"
             R"("max_value":50000000,"current_value":12345679,)"
             R"("remaining_value":37654321,"model_filter":null,)"
             R"("reset_at":"2027-03-03T00:00:00Z","reserved_value":1})",
             R"("reset_at":null,"reserved_value":3}],)"
             R"("refusals":{"model_not_allowed":2,"rate_limit_exceeded":7}})",
             R"({"set":null,"id":null,"open":0,)",
             R"("models":[{"model":null,"requests":5,)",
             R"("limits":[],"refusals":{"missing_key":31}}],)",
         }) {
        EXPECT_NE(text.find(part), std::string::npos) << part << '\n' << text;
    }
}

TEST(StatusJson, Credentials) {
    MadeUpReport made_up;
    auto text = written(write_status_json, made_up.report);
    EXPECT_NE(
        text.find(
            R"("credentials":[{"name":"chatgpt",)"
            R"("expires":"2027-02-10T00:00:00Z","cools_down":null,)"
            R"("back_at":null,"requests":70,)"
            R"("refusals":{"rejected":2,"forbidden":0,"rate_limited":5}},)"
            R"({"name":"a\"b","expires":"2027-01-30T00:00:00Z",)"
            R"("cools_down":"rate_limited","back_at":"2027-01-31T00:01:30Z",)"
            R"("requests":7,)"
            R"("refusals":{"rejected":0,"forbidden":1,"rate_limited":3}},)"
            R"({"name":"openai","expires":null,)"),
        std::string::npos)
        << text;
}

TEST(StatusJson, BucketsAreCumulative) {
    MadeUpReport made_up;
    auto text = written(write_status_json, made_up.report);
    EXPECT_NE(text.find(R"("time_to_first_token":{"count":60,)"
                        R"("sum_seconds":215.5,"buckets":[)"),
              std::string::npos);
    EXPECT_NE(text.find(R"({"le":0.1,"count":0},{"le":0.25,"count":10},)"
                        R"({"le":0.5,"count":40},{"le":1,"count":40},)"),
              std::string::npos);
    EXPECT_NE(text.find(R"({"le":10,"count":40},{"le":null,"count":60}]})"),
              std::string::npos);
}

TEST(StatusJson, TotalsAreThoseOfAll) {
    MadeUpReport made_up;
    EXPECT_NE(written(write_status_json, made_up.report)
                  .find(R"("totals":{"requests":60,)"),
              std::string::npos);
    made_up.leave_out(17);
    auto text = written(write_status_json, made_up.report);
    EXPECT_NE(text.find(R"("totals":{"requests":1060,)"), std::string::npos);
    EXPECT_TRUE(text.ends_with(R"("clients_left_out":17})"));
}

TEST(StatusJson, AnotherReaderReadsIt) {
    MadeUpReport made_up;
    auto text = written(write_status_json, made_up.report);
    EXPECT_EQ(text.find('<'), std::string::npos);
    json_error_t error;
    json_t *root =
        json_loadb(text.data(), text.size(), JSON_REJECT_DUPLICATES, &error);
    ASSERT_NE(root, nullptr) << error.text;
    auto *client = json_array_get(json_object_get(root, "clients"), 1);
    EXPECT_STREQ(json_string_value(json_object_get(client, "id")), "<ada>");
    auto *model = json_array_get(json_object_get(client, "models"), 0);
    EXPECT_STREQ(json_string_value(json_object_get(model, "model")),
                 "</script><b>\"\\\xC3\xA9\xEF\xBF\xBD");
    json_decref(root);
}

}  // namespace
}  // namespace keystile
