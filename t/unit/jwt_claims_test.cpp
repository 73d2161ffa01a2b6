#include "jwt_claims.hpp"

#include <gtest/gtest.h>

#include "jwt.hpp"

namespace keystile {
namespace {

// "EXPIRES ACCOUNT FEDRAMP", or "none".
std::string claims_of(const std::string &token) {
    std::string room(token.size(), '\0');
    auto claims = read_jwt_claims(token, room);
    if (!claims) {
        return "none";
    }
    return std::to_string(claims->expires) + ' ' +
           std::string{claims->account_id} + ' ' +
           (claims->is_fedramp ? "yes" : "no");
}

TEST(JwtClaims, Are) {
    EXPECT_EQ(claims_of(openai_jwt(R"("chatgpt_account_id":"acc-1",)"
                                   R"("chatgpt_account_is_fedramp":true)",
                                   R"(,"exp":1801353600)")),
              "1801353600 acc-1 yes");
    EXPECT_EQ(claims_of(jwt("{}")), "0  no");
    EXPECT_EQ(claims_of(jwt("{ }")), "0  no");
    EXPECT_EQ(claims_of(jwt("{  }")), "0  no");
    EXPECT_EQ(
        claims_of(jwt(R"({"https:\/\/api.openai.com\/auth":)"
                      R"({"chatgpt_account_id":"a"},"sub":"x","aud":["y"]})")),
        "0 a no");
}

TEST(JwtClaims, OfAnotherTypeAreNotThere) {
    for (const char *value : {"null", "1", "true", "[]", "{}", R"("")"}) {
        EXPECT_EQ(claims_of(openai_jwt(R"("chatgpt_account_id":)" +
                                       std::string{value})),
                  "0  no")
            << value;
    }
    for (const char *value : {"null", "1", "false", R"("true")", "[true]"}) {
        EXPECT_EQ(claims_of(openai_jwt(R"("chatgpt_account_is_fedramp":)" +
                                       std::string{value})),
                  "0  no")
            << value;
    }
    for (const char *value : {"null", "1", "true", "[]", R"("x")"}) {
        EXPECT_EQ(claims_of(jwt(R"({"https://api.openai.com/auth":)" +
                                std::string{value} + "}")),
                  "0  no")
            << value;
    }
}

TEST(JwtClaims, Expiry) {
    struct {
        const char *exp;
        const char *expires;
    } cases[] = {
        {"1", "1"},
        {"1801353600.75", "1801353600"},
        {"9223372036854775807", "9223372036854775807"},
        {"9223372036854775808", "0"},
        {"99999999999999999999999", "0"},
        {"-1", "0"},
        {"0", "0"},
        {"1e9", "0"},
        {"1.5e9", "0"},
        {"null", "0"},
        {"\"1801353600\"", "0"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(claims_of(jwt(R"({"exp":)" + std::string{c.exp} + "}")),
                  std::string{c.expires} + "  no")
            << c.exp;
    }
}

TEST(JwtClaims, WhatIsNoJwt) {
    const std::string cases[] = {
        "",
        "opaque",
        ".",
        "..",
        "a.b",
        ".e30.a",
        "a..a",
        "a.e30.",
        "a.e30.a.a",
        "a.e30.a.a.a",
        "a.e.a",
        "a.e30=.a",
        "a.e+0.a",
        "a.e/0.a",
        "a.e 0.a",
        jwt(""),
        jwt("x"),
        jwt("[]"),
        jwt("null"),
        jwt("{"),
        jwt(R"({"exp":1} )"
            "\x01"),
        jwt(R"({"exp":1,"exp":2})"),
        jwt(R"({"exp":1,"https://api.openai.com/auth":{},)"
            R"("https://api.openai.com/auth":{}})"),
        openai_jwt(R"("chatgpt_account_id":"a","chatgpt_account_id":"b")"),
        jwt("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"),
    };
    for (const auto &token : cases) {
        EXPECT_EQ(claims_of(token), "none") << token;
    }
    EXPECT_EQ(claims_of("a.e30.a"), "0  no");
}

// All bytes there are, at each place of a group of four characters.
TEST(JwtClaims, DecodesEachCharacter) {
    for (const char *before : {"", "x", "xy"}) {
        std::string account = before;
        for (int c = 0x20; c < 0x7F; c++) {
            if (c != '"' && c != '\\') {
                account += static_cast<char>(c);
            }
        }
        account += "\xC3\xBF\xC3\xBE\xEF\xBF\xBD";
        EXPECT_EQ(
            claims_of(openai_jwt("\"chatgpt_account_id\":\"" + account + '"')),
            "0 " + account + " no");
    }
}

}  // namespace
}  // namespace keystile
