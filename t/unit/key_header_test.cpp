#include "key_header.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keystile {
namespace {

TEST(KeyHeader, Authorization) {
    struct {
        std::string value;
        std::string key;
    } cases[] = {
        {"Bearer sk-test", "sk-test"},
        {"bearer sk-test", "sk-test"},
        {"BEARER sk-test", "sk-test"},
        {"bEaReR sk-test", "sk-test"},
        {"  Bearer   sk-test \t", "sk-test"},
        {"Bearer\tsk-test", "sk-test"},
        {"Bearer !~", "!~"},
        {"", ""},
        {"Bearer", ""},
        {"Bearer ", ""},
        {"Bearer  \t ", ""},
        {"Bearersk-test", ""},
        {"Bearer:sk-test", ""},
        {"sk-test", ""},
        {"Basic dXNlcjpwYXNz", ""},
        {"Basic Bearer sk-test", ""},
        {"Bearer sk test", ""},
        {"Bearer Bearer sk-test", ""},
        {"Bearer sk-test, Bearer sk-other", ""},
        {"Bearer sk\ttest", ""},
        {"Bearer sk\x7Ftest", ""},
        {"Bearer sk\xC3\xA9test", ""},
        {std::string("Bearer sk\0test", 14), ""},
        {"Bearer sk\r\nX: y", ""},
    };
    for (const auto &c : cases) {
        for (auto name : {"Authorization", "authorization"}) {
            EXPECT_EQ(read_key_header(name, c.value), c.key) << c.value;
        }
    }
}

TEST(KeyHeader, OtherHeaders) {
    struct {
        std::string value;
        std::string key;
    } cases[] = {
        {"sk-test", "sk-test"},
        {" \tsk-test ", "sk-test"},
        {"Bearer sk-test", "sk-test"},
        {"bearer   sk-test", "sk-test"},
        {"Bearer", "Bearer"},
        {"Bearersk-test", "Bearersk-test"},
        {"", ""},
        {"  ", ""},
        {"sk test", ""},
        {"Basic dXNlcjpwYXNz", ""},
        {"sk\x80", ""},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(read_key_header("x-api-key", c.value), c.key) << c.value;
    }
}

TEST(KeyHeader, Length) {
    std::string longest(kLongestKey, 'k');
    EXPECT_EQ(read_key_header("authorization", "Bearer " + longest), longest);
    EXPECT_EQ(read_key_header("authorization", "Bearer " + longest + "k"), "");
    EXPECT_EQ(read_key_header("x-api-key", longest), longest);
    EXPECT_EQ(read_key_header("x-api-key", longest + "k"), "");
}

TEST(KeyHeader, CredentialHeaders) {
    for (auto name :
         {"Authorization", "AUTHORIZATION", "Proxy-Authorization",
          "proxy_authorization", "X-Api-Key", "x_api_key", "X-API_KEY",
          "api-key", "Api_Key", "x-goog-api-key", "x_goog_api_key",
          "x-goog_api-key", "openai-api-key", "OpenAI_API_Key"}) {
        EXPECT_TRUE(is_credential_header(name)) << name;
    }
    for (auto name : {"", "Host", "Authorizations", "X-Authorization-Info",
                      "anthropic-version", "openai-beta", "session_id",
                      "x-codex-turn", "apikeys"}) {
        EXPECT_FALSE(is_credential_header(name)) << name;
    }
}

}  // namespace
}  // namespace keystile
