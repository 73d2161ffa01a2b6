#include "placeholder.hpp"

#include <gtest/gtest.h>

namespace keystile {
namespace {

TEST(Placeholder, Known) {
    for (auto key : {
             "sk-placeholder-for-api-proxy",
             "sk-ant-placeholder-key-for-credential-isolation",
             "ghu_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
             "gemini-api-key-placeholder-for-credential-isolation",
             "google-api-key-placeholder-for-credential-isolation",
             "dummy-byok-key-for-offline-mode",
             "placeholder",
             "PLACEHOLDER",
             "changeme",
             "ChangeMe",
             "change-me",
             "your-api-key",
             "your_api_key_here",
             "sk-your-key-here",
             "<your-key>",
             "<key>",
             "sk-...",
             "sk-proj-...",
             "...",
             "sk-xxxx",
             "sk-proj-XXXXXXXXXXXXXXXX",
             "xxx",
             "***",
             "undefined",
             "null",
         }) {
        EXPECT_TRUE(is_known_placeholder(key)) << key;
    }
}

TEST(Placeholder, Keys) {
    for (auto key : {
             "",
             "sk-test-0123456789",
             "sk-test-xxx1",
             "sk-proj-abc_DEF-ghi",
             "sk-ant-api03-abc-xx",
             "ghu_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
             "ghu_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
             "AIzaSyExample-0123456789",
             "0123456789abcdef0123456789abcdef",
             "x",
             "xx",
             "nullable-key-1",
             "<half",
             "eyJhbGciOiJSUzI1NiJ9.e30.c2ln",
         }) {
        EXPECT_FALSE(is_known_placeholder(key)) << key;
    }
}

}  // namespace
}  // namespace keystile
