#include "price_file.hpp"

#include <gtest/gtest.h>

#include <string>

#include "arena.hpp"

namespace keystile {
namespace {

std::string file(const std::string &models) {
    return "{\"version\": 1, \"models\": [" + models + "]}";
}

// An entry with the required members, and more. Its third stands at column 76
// of a file that begins with it.
std::string model(const std::string &pattern, const std::string &more = "") {
    return "{\"model\": \"" + pattern + "\", \"input\": 1, \"output\": 2" +
           more + "}";
}

// "line:column message", or "accepted".
std::string error_of(const std::string &text) {
    Arena arena;
    auto prices = parse_price_file(text, arena.allocator());
    EXPECT_LE(arena.used, 64 * text.size()) << text;
    if (prices) {
        return "accepted";
    }
    const auto &error = prices.error();
    return std::to_string(error.line) + ":" + std::to_string(error.column) +
           " " + error.message;
}

TEST(PriceFile, ReadsAllMembers) {
    Arena arena;
    std::string text =
        "{ \"version\": 1, \"models\": [\n"
        "  { \"model\": \"gpt-5*\", \"input\": 1.25, \"output\": 10,\n"
        "    \"cached_input\": 0.125, \"cache_write\": 1.5 },\n"
        "  { \"output\": 2e1, \"model\": \"*\", \"input\": 3.000001 },\n"
        "  { \"cache_write\": 0, \"output\": 0.0, \"model\": \"free\",\n"
        "    \"cached_input\": 0, \"input\": 1000000 } ] }\n";
    auto prices = parse_price_file(text, arena.allocator());
    ASSERT_TRUE(prices) << prices.error().message;
    text.assign(text.size(), '#');  // nothing points into it

    ASSERT_EQ(prices->models.size(), 3u);
    const auto &gpt = prices->models[0];
    EXPECT_EQ(gpt.pattern, "gpt-5*");
    EXPECT_EQ(gpt.price.input, 1'250'000u);
    EXPECT_EQ(gpt.price.cached, 125'000u);
    EXPECT_EQ(gpt.price.cache_written, 1'500'000u);
    EXPECT_EQ(gpt.price.output, 10'000'000u);

    // What is not there costs what input does, wherever that stands.
    const auto &rest = prices->models[1];
    EXPECT_EQ(rest.pattern, "*");
    EXPECT_EQ(rest.price.input, 3'000'001u);
    EXPECT_EQ(rest.price.cached, 3'000'001u);
    EXPECT_EQ(rest.price.cache_written, 3'000'001u);
    EXPECT_EQ(rest.price.output, 20'000'000u);

    const auto &free = prices->models[2];
    EXPECT_EQ(free.price.input, 1'000'000'000'000u);
    EXPECT_EQ(free.price.cached, 0u);
    EXPECT_EQ(free.price.cache_written, 0u);
    EXPECT_EQ(free.price.output, 0u);

    EXPECT_EQ(prices->find("GPT-5-mini"), &gpt.price);
    EXPECT_EQ(prices->find("o4"), &rest.price);
    EXPECT_TRUE(prices->prices_all());
}

// A million tokens cost what the file says, to the last decimal.
TEST(PriceFile, PricesAreExact) {
    struct {
        const char *written;
        Picodollars price;
    } cases[] = {
        {"0.1", 100'000},
        {"0.07", 70'000},
        {"0.000001", 1},
        {"1e-6", 1},
        {"0.000003", 3},
        {"4.35", 4'350'000},
        {"1.005", 1'005'000},
        {"123456.789012", 123'456'789'012},
        {"999999.999999", 999'999'999'999},
        {"1.250000000", 1'250'000},
    };
    for (const auto &c : cases) {
        Arena arena;
        auto text = file(std::string{"{\"model\": \"a\", \"output\": 0, "
                                     "\"input\": "} +
                         c.written + "}");
        auto prices = parse_price_file(text, arena.allocator());
        ASSERT_TRUE(prices) << c.written << prices.error().message;
        EXPECT_EQ(prices->models[0].price.input, c.price) << c.written;
        Usage million;
        million.input = 1'000'000;
        EXPECT_EQ(cost_of(million, prices->models[0].price),
                  c.price * 1'000'000);
    }
}

// No six decimals of a price can get lost between the text and the table.
TEST(PriceFile, EveryPriceIsReadAsWritten) {
    for (std::uint64_t millionths = 1; millionths < 1'000'000'000'000;
         millionths += millionths / 9 + 1) {
        auto decimals = std::to_string(1'000'000 + millionths % 1'000'000);
        auto written =
            std::to_string(millionths / 1'000'000) + "." + decimals.substr(1);
        Arena arena;
        auto prices =
            parse_price_file(file(model("a", ", \"cache_write\": " + written)),
                             arena.allocator());
        ASSERT_TRUE(prices) << written;
        EXPECT_EQ(prices->models[0].price.cache_written, millionths);
        EXPECT_NE(
            error_of(file(model("a", ", \"cache_write\": " + written + "1"))),
            "accepted")
            << written;
    }
}

TEST(PriceFile, Errors) {
    const std::string price_error =
        "must be a number from 0 to 1000000 with 6 decimals at most";
    const std::string pattern_error =
        "a pattern for models must be a string of 1 to 64 printable ASCII "
        "characters without spaces, quotes and backslashes";

    struct {
        std::string text;
        std::string error;
    } cases[] = {
        {"", "1:1 the JSON ends too early"},
        {"{\"version\": 1,\n \"models\": [x]}", "2:13 the text is not JSON"},
        {file(model("a", ",\n\"input\": 1")), "2:7 a member is given twice"},
        {"[]", "1:1 a price file must be a JSON object"},
        {"{}", "1:1 \"version\" is missing"},
        {"{\"version\": 1}", "1:1 \"models\" is missing"},
        {"{\"models\": [" + model("a") + "]}", "1:1 \"version\" is missing"},
        {"{\"version\": 2}", "1:13 \"version\" must be 1"},
        {"{\"version\": 1.0}", "1:13 \"version\" must be 1"},
        {"{\"version\": 1,\n \"prices\": 1}", "2:2 unknown member \"prices\""},
        {"{\"version\": 1,\n \"sk-test-key\": 1}", "2:2 unknown member"},
        {file(""), "1:26 \"models\" must be an array, and not empty"},
        {"{\"version\": 1, \"models\": {}}",
         "1:26 \"models\" must be an array, and not empty"},
        {file("1"), "1:27 a model must be a JSON object"},
        {file("\n{}"), "2:1 \"model\" of a model is missing"},
        {file("\n{\"model\": \"a\", \"output\": 1}"),
         "2:1 \"input\" of a model is missing"},
        {file("\n{\"model\": \"a\", \"input\": 1}"),
         "2:1 \"output\" of a model is missing"},
        {file("\n{\"model\": 1}"), "2:11 " + pattern_error},
        {file("\n{\"model\": \"\"}"), "2:11 " + pattern_error},
        {file("\n{\"model\": \"a b\"}"), "2:11 " + pattern_error},
        {file(model("gpt-5*") + "," + model("o4") + ",\n" + model("GPT-5*")),
         "2:11 a pattern for models is listed twice"},

        {file("\n{\"input\": \"1\"}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": null}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": true}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": -1}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": -0.000001}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": 1000001}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": 1000000.000001}"),
         "2:11 \"input\" " + price_error},
        {file("\n{\"input\": 1e300}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": 1e999}"), "2:15 the number is too large"},
        {file("\n{\"input\": 0.0000001}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": 1.2500001}"), "2:11 \"input\" " + price_error},
        {file("\n{\"input\": 999999.1234567}"),
         "2:11 \"input\" " + price_error},
        {file("\n{\"output\": []}"), "2:12 \"output\" " + price_error},
        {file("\n{\"cached_input\": {}}"),
         "2:18 \"cached_input\" " + price_error},
        {file("\n{\"cache_write\": \"\"}"),
         "2:17 \"cache_write\" " + price_error},
        {file(model("a", ",\n\"cache_read\": 1")),
         "2:1 unknown member \"cache_read\""},
        {file(model("a", ",\n\"Input\": 1")), "2:1 unknown member \"Input\""},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(error_of(c.text), c.error) << c.text;
    }
}

TEST(PriceFile, OutOfMemoryAtAnyTimeIsAnError) {
    const auto text = file(model("a") + "," + model("b"));
    Arena whole;
    ASSERT_TRUE(parse_price_file(text, whole.allocator()));
    for (std::size_t limit = 0; limit < whole.used; limit++) {
        Arena arena;
        arena.limit = limit;
        auto prices = parse_price_file(text, arena.allocator());
        ASSERT_FALSE(prices);
        EXPECT_STREQ(prices.error().message, "out of memory");
        EXPECT_EQ(prices.error().line, 0);
    }
}

TEST(PriceFile, SizeLimit) {
    auto text = file(model("a"));
    text.resize(kMaxPriceFileSize, ' ');
    EXPECT_EQ(error_of(text), "accepted");
    text += ' ';
    EXPECT_EQ(error_of(text), "0:0 the file is larger than 1 MiB");
}

TEST(PriceFile, MemoryIsBounded) {
    for (std::string element : {"1", "{}", "[]", "{\"model\":\"a\"}"}) {
        auto models = element;
        for (int i = 0; i < 10'000; i++) {
            models += "," + element;
        }
        EXPECT_NE(error_of(file(models)), "accepted");
    }
}

}  // namespace
}  // namespace keystile
