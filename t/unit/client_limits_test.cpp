// The models and limits of a client-key file.

#include <gtest/gtest.h>

#include <iterator>
#include <string>

#include "client_file.hpp"
#include "client_file_text.hpp"

namespace keystile {
namespace {

TEST(ClientLimits, AreReadAsWritten) {
    const std::string written[] = {
        R"({"requests": 60, "per": "minute"})",
        R"({"concurrent": 8})",
        R"({"per": "day", "tokens": 2000000})",
        R"({"usd": 50, "per": "month"})",
        R"({"usd": 2.5, "per": "day", "model": "gpt-5*"})",
        R"({"tokens": 1, "per": "hour"})",
        R"({"tokens": 1000000000000000, "per": "week"})",
        R"({"usd": 0.000001, "per": "hour"})",
        R"({"usd": 1000000, "per": "week"})",
        R"({"usd": 0.07, "per": "minute"})",
        R"({"model": "o4", "concurrent": 1})",
        // The same but for one of kind, period and model.
        R"({"requests": 60, "per": "minute", "model": "*"})",
        R"({"requests": 60, "per": "hour"})",
        R"({"requests": 60, "per": "minute", "model": "o4"})",
        R"({"tokens": 60, "per": "minute"})",
    };
    const Limit expected[] = {
        {LimitKind::requests, LimitPeriod::minute, 60, ""},
        {LimitKind::concurrent, LimitPeriod::none, 8, ""},
        {LimitKind::tokens, LimitPeriod::day, 2'000'000, ""},
        {LimitKind::usd, LimitPeriod::month, 50 * kPicodollarsPerUsd, ""},
        {LimitKind::usd, LimitPeriod::day, 2'500'000'000'000, "gpt-5*"},
        {LimitKind::tokens, LimitPeriod::hour, 1, ""},
        {LimitKind::tokens, LimitPeriod::week, 1'000'000'000'000'000, ""},
        {LimitKind::usd, LimitPeriod::hour, 1'000'000, ""},
        {LimitKind::usd, LimitPeriod::week, 1'000'000 * kPicodollarsPerUsd,
         ""},
        {LimitKind::usd, LimitPeriod::minute, 70'000'000'000, ""},
        {LimitKind::concurrent, LimitPeriod::none, 1, "o4"},
        {LimitKind::requests, LimitPeriod::minute, 60, "*"},
        {LimitKind::requests, LimitPeriod::hour, 60, ""},
        {LimitKind::requests, LimitPeriod::minute, 60, "o4"},
        {LimitKind::tokens, LimitPeriod::minute, 60, ""},
    };
    std::string all;
    for (const auto &limit : written) {
        all += (all.empty() ? "" : ",\n") + limit;
    }
    Arena arena;
    auto keys = parse_client_file(with_limits(all), arena.allocator());
    ASSERT_TRUE(keys) << keys.error().message;
    auto limits = keys->clients[0].limits;
    ASSERT_EQ(limits.size(), std::size(expected));
    for (std::size_t i = 0; i < limits.size(); i++) {
        EXPECT_EQ(limits[i].kind, expected[i].kind) << written[i];
        EXPECT_EQ(limits[i].per, expected[i].per) << written[i];
        EXPECT_EQ(limits[i].most, expected[i].most) << written[i];
        EXPECT_EQ(limits[i].model, expected[i].model) << written[i];
    }
}

TEST(ClientLimits, Errors) {
    const std::string kinds =
        "one of \"requests\", \"tokens\", \"usd\" and \"concurrent\"";
    const std::string count_error =
        " must be a whole number from 1 to 1000000000000000";
    const std::string usd_error =
        "\"usd\" must be a number above 0, up to 1000000, with 6 decimals at "
        "most";
    const std::string per_error =
        "\"per\" must be \"minute\", \"hour\", \"day\", \"week\" or \"month\"";
    const std::string pattern_error =
        "a pattern for models must be a string of 1 to 64 printable ASCII "
        "characters without spaces, quotes and backslashes";
    const std::string same_error =
        "two limits cannot have the same kind, period and model";

    struct {
        std::string limits;
        std::string error;
    } cases[] = {
        {"", "2:11 \"limits\" must be an array, and not empty"},
        {"60", "2:12 a limit must be a JSON object"},
        {"{}", "2:12 a limit must have " + kinds},
        {R"({"per": "day"})", "2:12 a limit must have " + kinds},
        {R"({"requests": 1, "per": "day", "tokens": 1})",
         "2:42 a limit can have only " + kinds},
        {R"({"concurrent": 1, "requests": 1})",
         "2:30 a limit can have only " + kinds},

        {R"({"requests": 0, "per": "day"})",
         "2:25 \"requests\"" + count_error},
        {R"({"requests": -1, "per": "day"})",
         "2:25 \"requests\"" + count_error},
        {R"({"requests": 60.0, "per": "day"})",
         "2:25 \"requests\"" + count_error},
        {R"({"requests": "60", "per": "day"})",
         "2:25 \"requests\"" + count_error},
        {R"({"requests": null, "per": "day"})",
         "2:25 \"requests\"" + count_error},
        {R"({"tokens": 1000000000000001, "per": "day"})",
         "2:23 \"tokens\"" + count_error},
        {R"({"tokens": 9223372036854775807, "per": "day"})",
         "2:23 \"tokens\"" + count_error},
        {R"({"concurrent": true})", "2:27 \"concurrent\"" + count_error},

        {R"({"usd": 0, "per": "day"})", "2:20 " + usd_error},
        {R"({"usd": -0.0, "per": "day"})", "2:20 " + usd_error},
        {R"({"usd": -1, "per": "day"})", "2:20 " + usd_error},
        {R"({"usd": "1", "per": "day"})", "2:20 " + usd_error},
        {R"({"usd": 1000000.000001, "per": "day"})", "2:20 " + usd_error},
        {R"({"usd": 0.0000001, "per": "day"})", "2:20 " + usd_error},
        {R"({"usd": 2.5000001, "per": "day"})", "2:20 " + usd_error},

        {R"({"requests": 1})", "2:12 \"per\" of a limit is missing"},
        {R"({"usd": 1, "model": "a"})", "2:12 \"per\" of a limit is missing"},
        {R"({"requests": 1, "per": "second"})", "2:35 " + per_error},
        {R"({"requests": 1, "per": "Day"})", "2:35 " + per_error},
        {R"({"requests": 1, "per": ""})", "2:35 " + per_error},
        {R"({"requests": 1, "per": 60})", "2:35 " + per_error},
        {R"({"per": "day", "concurrent": 1})",
         "2:12 a limit with \"concurrent\" cannot have \"per\""},
        {R"({"concurrent": 1, "per": "none"})", "2:37 " + per_error},

        {R"({"concurrent": 1, "model": ""})", "2:39 " + pattern_error},
        {R"({"concurrent": 1, "model": "a b"})", "2:39 " + pattern_error},
        {R"({"concurrent": 1, "model": ["a"]})", "2:39 " + pattern_error},

        {R"({"total_tokens": 1, "per": "day"})",
         "2:13 unknown member \"total_tokens\""},
        {R"({"requests": 1, "Per": "day"})", "2:28 unknown member \"Per\""},
        {R"({"requests": 1, "per": "day", "sk-test-key": 1})",
         "2:42 unknown member"},

        {R"({"concurrent": 1}, {"concurrent": 2})", "2:31 " + same_error},
        {R"({"usd": 1, "per": "day"}, {"concurrent": 1},
{"per": "day", "usd": 2})",
         "3:1 " + same_error},
        {R"({"tokens": 1, "per": "day", "model": "GPT-5*"},
{"tokens": 1, "per": "day", "model": "gpt-5*"})",
         "3:1 " + same_error},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(error_of(with_limits(c.limits)), c.error) << c.limits;
    }
    EXPECT_EQ(error_of(file(client("a", ",\n\"limits\": {\"usd\": 1}"))),
              "2:11 \"limits\" must be an array, and not empty");
}

TEST(ClientLimits, AtMostSixteenLimits) {
    std::string limits = R"({"concurrent": 1})";
    for (std::size_t i = 1; i < kMostLimits; i++) {
        limits +=
            R"(, {"concurrent": 1, "model": "m)" + std::to_string(i) + "\"}";
    }
    EXPECT_EQ(error_of(with_limits(limits)), "accepted");
    EXPECT_EQ(error_of(with_limits(limits + R"(,{"usd": 1, "per": "day"})")),
              "2:11 \"limits\" must hold 16 limits at most");
}

TEST(ClientLimits, ModelErrors) {
    const std::string pattern_error =
        "a pattern for models must be a string of 1 to 64 printable ASCII "
        "characters without spaces, quotes and backslashes";
    struct {
        const char *models;
        std::string error;
    } cases[] = {
        {"[]", "2:11 \"models\" must be an array, and not empty"},
        {"\"gpt-5\"", "2:11 \"models\" must be an array, and not empty"},
        {"[1]", "2:12 " + pattern_error},
        {"[\"a\", \"\"]", "2:17 " + pattern_error},
        {"[\"\xC3\xA9\"]", "2:12 " + pattern_error},
        {"[\"gpt-5*\", \"o4\", \"GPT-5*\"]",
         "2:28 a pattern for models is listed twice"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(error_of(file(
                      client("a", std::string{",\n\"models\": "} + c.models))),
                  c.error)
            << c.models;
    }
    EXPECT_EQ(error_of(file(client("a", R"(, "models": ["gpt-5"])") + "," +
                            client("b", R"(, "models": ["gpt-5"])"))),
              "accepted");
}

TEST(ClientLimits, ALimitForNoneOfTheModelsIsAnError) {
    const std::string error =
        "the limit can have no effect: the model is none of \"models\"";
    struct {
        const char *more;
        std::string error;
    } cases[] = {
        {R"(, "models": ["gpt-5*", "o4"],
"limits": [{"concurrent": 1, "model": "gpt-5"},
{"concurrent": 1, "model": "GPT-5-mini"}, {"concurrent": 1, "model": "O4"}])",
         "accepted"},
        {R"(, "models": ["gpt-5*", "o4"],
"limits": [{"concurrent": 1},
{"concurrent": 1, "model": "o4-mini"}])",
         "3:28 " + error},
        // Which of the two comes first does not count.
        {R"(, "limits": [
{"model": "gpt-4", "concurrent": 1}], "models": ["gpt-5*"])",
         "2:11 " + error},
        {R"(, "limits": [{"concurrent": 1, "model": "gpt-4"}])", "accepted"},
        {R"(, "models": ["a"],
"limits": [{"concurrent": 1, "model": "*b"}])",
         "accepted"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(error_of(file(client("a", c.more))), c.error) << c.more;
    }
}

TEST(ClientLimits, NeedsModel) {
    struct {
        const char *more;
        bool needs;
    } cases[] = {
        {"", false},
        {R"(, "models": ["*"])", true},
        {R"(, "limits": [{"concurrent": 1}])", false},
        {R"(, "limits": [{"concurrent": 1}, {"concurrent": 1, "model": "a"}])",
         true},
    };
    for (const auto &c : cases) {
        Arena arena;
        auto keys =
            parse_client_file(file(client("a", c.more)), arena.allocator());
        ASSERT_TRUE(keys) << c.more;
        EXPECT_EQ(keys->clients[0].needs_model(), c.needs) << c.more;
    }
}

}  // namespace
}  // namespace keystile
