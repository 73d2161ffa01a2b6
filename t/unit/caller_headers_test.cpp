#include "caller_headers.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace keystile {
namespace {

using Lines = std::vector<std::pair<std::string_view, std::string_view>>;

constexpr std::array<std::string_view, 2> kNames{"authorization", "x-api-key"};

CallerHeaders gather(const Lines &lines) {
    CallerHeaders headers{kNames};
    for (auto [name, value] : lines) {
        headers.see(name, value);
    }
    return headers;
}

TEST(CallerHeaders, KeyHeaders) {
    auto headers = gather({{"X-Api-Key", "sk-x"},
                           {"Host", "h"},
                           {"AUTHORIZATION", "Bearer sk-a"}});
    EXPECT_EQ(headers.presented(0), "Bearer sk-a");
    EXPECT_EQ(headers.presented(1), "sk-x");
    EXPECT_FALSE(headers.has_doubled_key_header());
    EXPECT_EQ(headers.credentials_seen(), 2u);

    auto none = gather({{"Host", "h"}});
    EXPECT_EQ(none.presented(0), "");
    EXPECT_EQ(none.credentials_seen(), 0u);
}

TEST(CallerHeaders, DoubledKeyHeaders) {
    for (const Lines &lines : {
             Lines{{"x-api-key", "a"}, {"x-api-key", "a"}},
             Lines{{"x-api-key", "a"}, {"X-API-KEY", "b"}},
             Lines{{"x-api-key", ""}, {"x-api-key", "b"}},
             Lines{{"authorization", "Bearer a"},
                   {"x-api-key", "b"},
                   {"Authorization", "Bearer a"}},
         }) {
        EXPECT_TRUE(gather(lines).has_doubled_key_header());
    }
}

// A name that only reads the same to a careless server does not authenticate.
TEST(CallerHeaders, OtherSpellingsAreForeign) {
    auto headers = gather({{"x_api_key", "sk-x"}, {"X-Goog_Api-Key", "g"}});
    EXPECT_EQ(headers.presented(1), "");
    EXPECT_FALSE(headers.has_doubled_key_header());
    EXPECT_EQ(headers.credentials_seen(), 2u);

    EXPECT_EQ(gather({{"x-api-key", " \t"}}).credentials_seen(), 0u);
    EXPECT_EQ(gather({{"Proxy-Authorization", "Basic x"}}).credentials_seen(),
              1u);
}

TEST(CallerHeaders, AsksForWebSocket) {
    struct {
        Lines lines;
        bool asks;
    } cases[] = {
        {{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}}, true},
        {{{"connection", "upgrade"}, {"upgrade", "WebSocket"}}, true},
        {{{"Connection", "keep-alive, Upgrade"}, {"Upgrade", "websocket"}},
         true},
        {{{"Connection", "keep-alive"},
          {"Connection", " ,upgrade ,"},
          {"Upgrade", "websocket"}},
         true},
        {{{"Connection", "upgrade"},
          {"Upgrade", "h2c"},
          {"Upgrade", "foo, websocket"}},
         true},
        {{{"Connection", "Upgrade, HTTP2-Settings"}, {"Upgrade", "h2c"}},
         false},
        {{{"Connection", "upgrade"}}, false},
        {{{"Upgrade", "websocket"}}, false},
        {{{"Connection", "upgrades"}, {"Upgrade", "websocket"}}, false},
        {{{"Connection", "close"}, {"Upgrade", "websocket"}}, false},
        {{{"Connection", "upgrade"}, {"Upgrade", "websocket2"}}, false},
        {{{"Connection", "upgrade"}, {"Upgrade", "web socket"}}, false},
        {{{"Connection", "\"upgrade\""}, {"Upgrade", "websocket"}}, false},
        {{}, false},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(gather(c.lines).asks_for_websocket(), c.asks)
            << (c.lines.empty() ? "" : c.lines[0].second);
    }
}

TEST(CallerHeaders, LinesOfConnectionThatNameHeaders) {
    auto count = [](const Lines &lines) {
        return gather(lines).connection_lines().size();
    };
    EXPECT_EQ(count({{"Connection", "keep-alive"}}), 0U);
    EXPECT_EQ(count({{"Connection", "close, Upgrade,,"}}), 0U);
    EXPECT_EQ(count({{"Connection", "close, X-Secret"}}), 1U);
    EXPECT_EQ(count({{"Connection", "close"}, {"connection", "te"}}), 1U);
    EXPECT_EQ(count({{"Connection", "a"}, {"connection", "b"}}), 2U);
}

TEST(CallerHeaders, ConnectionNamesTooMany) {
    auto too_many = [](std::size_t lines, const std::string &value) {
        return gather(Lines(lines, {"Connection", value}))
            .connection_names_too_many();
    };
    auto commas = [](std::size_t count) { return std::string(count, ','); };
    EXPECT_FALSE(too_many(4, "a,b,c,d,e,f,g,h"));
    EXPECT_TRUE(too_many(4, "a,b,c,d,e,f,g,h,i"));
    EXPECT_TRUE(too_many(5, "a"));
    EXPECT_FALSE(too_many(40, "close"));
    EXPECT_FALSE(too_many(1, "a" + commas(63)));
    EXPECT_TRUE(too_many(1, "a" + commas(64)));
    EXPECT_TRUE(too_many(1, commas(64)));
}

TEST(CallerHeaders, RequestId) {
    auto id_of = [](const Lines &lines) {
        return std::string{gather(lines).request_id()};
    };
    EXPECT_EQ(id_of({{"X-Request-Id", "abc-1.2_3"}}), "abc-1.2_3");
    EXPECT_EQ(id_of({{"x-request-id", "first"}, {"x-request-id", "second"}}),
              "first");
    EXPECT_EQ(id_of({{"x-request-id", "no good"}, {"x-request-id", "b"}}),
              "b");
    EXPECT_EQ(id_of({{"x_request_id", "a"}}), "");

    EXPECT_TRUE(is_request_id(std::string(128, 'a')));
    for (const auto &id :
         {std::string{}, std::string(129, 'a'), std::string{"a b"},
          std::string{"a\r\nX: y"}, std::string{"a\"b"}, std::string{"a/b"},
          std::string{"\xC3\xA9"}, std::string("a\0", 2)}) {
        EXPECT_FALSE(is_request_id(id)) << id;
    }
}

TEST(CallerHeaders, AnthropicVersion) {
    EXPECT_TRUE(
        gather({{"Anthropic-Version", "2023-06-01"}}).has_anthropic_version());
    EXPECT_FALSE(gather({{"anthropic-beta", "x"}}).has_anthropic_version());
}

}  // namespace
}  // namespace keystile
