#include "query.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace keystile {
namespace {

TEST(Query, NamesAreDecodedOnce) {
    struct {
        std::string_view name;
        std::string_view plain;
        bool is;
    } cases[] = {
        {"client_version", "client_version", true},
        {"client%5Fversion", "client_version", true},
        {"client%5fversion", "client_version", true},
        {"%63lient_version", "client_version", true},
        {"client%255Fversion", "client_version", false},
        {"client%255Fversion", "client%5Fversion", true},
        {"Client_version", "client_version", false},
        {"client_versio", "client_version", false},
        {"client_versionx", "client_version", false},
        {"", "client_version", false},
        {"", "", true},
        {"a", "", false},
        {"a+b", "a b", true},
        {"a%2Bb", "a+b", true},
        {"a%", "a%", true},
        {"a%4", "a%4", true},
        {"a%zz", "a%zz", true},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(parameter_is(c.name, c.plain), c.is)
            << c.name << " and " << c.plain;
    }
}

TEST(Query, NamesThatCarryKeys) {
    for (auto name : {"key",
                      "KEY",
                      "Key",
                      "api_key",
                      "apiKey",
                      "apikey",
                      "api-key",
                      "API_KEY",
                      "access_token",
                      "accessToken",
                      "access-token",
                      "x-api-key",
                      "x-goog-api-key",
                      "authorization",
                      "%6bey",
                      "k%65y",
                      "api%5Fkey",
                      "api%2Dkey",
                      "a_p_i_k_e_y",
                      "_key_",
                      "+key",
                      "%20key",
                      "$key",
                      "%24key",
                      "subscription-key",
                      "auth_token"}) {
        EXPECT_TRUE(parameter_carries_key(name)) << name;
    }
    for (auto name :
         {"", "k", "keys", "keyword", "monkey", "api_version", "api-version",
          "client_version", "prompt_cache_key", "token", "alt", "limit",
          "%256bey", "a_very_long_name_that_ends_with_key"}) {
        EXPECT_FALSE(parameter_carries_key(name)) << name;
    }
}

TEST(Query, Parameters) {
    struct {
        std::string_view query;
        std::vector<std::string> names;
    } cases[] = {
        {"", {}},
        {"a", {"a"}},
        {"a=1", {"a"}},
        {"a=1&b=2", {"a", "b"}},
        {"a=1;b=2", {"a", "b"}},
        {"a=1&&b=2&", {"a", "b"}},
        {"&;&", {}},
        {"=1", {""}},
        {"a=b=c", {"a"}},
        {"a=1?b=2", {"a"}},
        {"a&a", {"a", "a"}},
    };
    for (const auto &c : cases) {
        std::vector<std::string> names;
        EXPECT_TRUE(for_each_parameter(c.query, [&](std::string_view name) {
            names.emplace_back(name);
            return true;
        }));
        EXPECT_EQ(names, c.names) << c.query;
    }
}

TEST(Query, AVisitCanEndIt) {
    int visits = 0;
    EXPECT_FALSE(for_each_parameter(
        "a&b&c", [&visits](std::string_view) { return ++visits < 2; }));
    EXPECT_EQ(visits, 2);
}

TEST(Query, WhatHidesTheFiguresOfAReply) {
    for (auto query :
         {"fields=a", "a=b&fields", "a;%24fields=b", "$fields=", "alt=proto",
          "alt", "alt=", "$alt=media", "%61lt=%70roto", "alt=json&alt=proto",
          "alt=json+", "callback=f", "$callback="}) {
        EXPECT_TRUE(hides_figures(query)) << query;
    }
    for (auto query : {"", "field=a", "a=fields", "Fields=a", "fieldsx=1",
                       "alt=sse", "alt=json", "$alt=sse", "a=alt&b=proto",
                       "%24alt=json%3Benum-encoding%3Dint"}) {
        EXPECT_FALSE(hides_figures(query)) << query;
    }
}

TEST(Query, TheValuesOfAParameter) {
    const std::string longest(256, 'x');
    struct {
        std::string query;
        std::size_t count;
        std::string_view first;
    } cases[] = {
        {"", 0, ""},
        {"models=a&xmodel=b", 0, ""},
        {"model=gpt-5", 1, "gpt-5"},
        {"a=1&model=gpt%2d5+x;b", 1, "gpt-5 x"},
        {"m%6fdel=a=b", 1, "a=b"},
        {"model", 1, ""},
        {"model=", 1, ""},
        {"model=%2", 1, "%2"},
        {"model=a&model=b", 2, "a"},
        {"model;mode%6C=b", 2, ""},
        {"model=" + longest, 1, longest},
    };
    for (const auto &c : cases) {
        auto found = find_parameter(c.query, "model");
        EXPECT_EQ(found.count, c.count) << c.query;
        ASSERT_TRUE(found.fits()) << c.query;
        EXPECT_EQ(found.view(), c.first) << c.query;
    }
    EXPECT_FALSE(find_parameter("model=" + longest + "x", "model").fits());
}

}  // namespace
}  // namespace keystile
