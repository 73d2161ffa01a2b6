#include "provider_refusal.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keystile {
namespace {

TEST(ProviderRefusal, OfTheCredential) {
    for (
        auto body : {
            R"({"error":{"message":"Incorrect API key provided: sk-te**",)"
            R"("type":"invalid_request_error","code":"invalid_api_key"}})",
            R"({"type":"error","error":{"type":"authentication_error",)"
            R"("message":"invalid x-api-key"}})",
            R"({"error":{"code":400,"message":"API key not valid."}})",
            R"({"error":{"status":"UNAUTHENTICATED"}})",
            R"({"statusCode":403,"message":"Access denied due to invalid )"
            R"(subscription key or wrong API endpoint."})",
            R"({"error": {"details": [{"reason" : "API_KEY_SERVICE_BLOCKED"})",
            R"({"error":"invalid_token"})",
            "\r\nIncorrect API key provided",
            "\xEF\xBB\xBF\r\n<html><p>Invalid API key</p>",
            "<html>Invalid Subscription Key</html>",
            "<html>\n <p>\n   Invalid API key\n </p>",
        }) {
        EXPECT_TRUE(says_credential_is_bad(body)) << body;
    }
    for (
        auto body : {
            "",
            R"({"error":{"type":"permission_error","code":"forbidden"}})",
            R"({"error":{"message":"Country not supported"}})",
            "invalid_api",
            // What callers write, as providers repeat it.
            R"({"error":{"message":"You have no access to x>invalid api key"}})",
            "You have no access to x>invalid api key",
            R"({"error":{"message":"You have no access to model )"
            R"(`authentication_error`","code":"model_not_found"}})",
            R"({"error":{"message":"No model \"code\":\"invalid_token\""}})",
            R"({"error":{"message":"No model \"message\":\"invalid api key"}})",
            R"({"model":"invalid_token","id":"Incorrect API key provided"})",
            R"({"type":"invalid_tokens"})",
            R"({"error":{"message":"authentication_error is no model"}})",
            R"(authentication_error)",
        }) {
        EXPECT_FALSE(says_credential_is_bad(body)) << body;
    }
}

TEST(ProviderRefusal, OfA400OnlyTheErrorItselfCounts) {
    for (
        auto body :
        {R"({"error":{"code":400,"message":"API key not valid. Please pass a )"
         R"(valid API key.","status":"INVALID_ARGUMENT","details":[]}})",
         R"([{"error":{"code":400,"message":"API key expired. Please )"
         R"(renew the API key."}}])",
         R"({"code":"Client specified an invalid argument",)"
         R"("error":"Incorrect API key provided: te***yz."})",
         R"({"error":{"message":"no","type":"authentication_error"}})",
         R"({"error":{"code":"invalid_api_key","message":")"}) {
        EXPECT_TRUE(error_says_credential_is_bad(body)) << body;
    }
    for (auto body :
         {"", "API key not valid", "<html>Invalid API key</html>",
          R"({"error":{"message":"model \"Invalid API key\" is unknown"}})",
          R"({"error":{"message":"no","param":"invalid_api_key"}})",
          R"({"detail":[{"input":{"code":"invalid_api_key"}}]})",
          R"({"error":{"input":{"error":{"code":"invalid_api_key"}}}})",
          R"({"error":{"message":"invalid api key: Extra inputs are not )"
          R"(permitted","type":"invalid_request_error"}})",
          R"({"error":{"message":"incorrect api key provided: Extra"}})",
          R"({"message":"Invalid API key"})"}) {
        EXPECT_FALSE(error_says_credential_is_bad(body)) << body;
    }
}

TEST(ProviderRefusal, RepeatsTheSecret) {
    const std::string secret = "sk-test-0123456789";
    for (auto body : {"key sk-test-0123456789", "ends 456789", "sk-tes***",
                      "sk-test-0123456789", "xx-0123xx"}) {
        bool six = std::string_view{body} != "xx-0123xx";
        EXPECT_EQ(repeats_secret(body, secret), six) << body;
    }
    EXPECT_FALSE(repeats_secret("", secret));
    EXPECT_FALSE(repeats_secret("sk-te", secret));
    for (const std::string kind :
         {"sk-proj-", "sk-ant-api03-", "AIza", "gsk_", "xai-"}) {
        auto key = kind + "Zm9vYmFyYmF6cXV4";
        EXPECT_FALSE(repeats_secret("no model " + kind, key)) << kind;
        EXPECT_TRUE(repeats_secret("no model mFyYmF", key)) << kind;
        EXPECT_TRUE(repeats_secret(kind + "Zm9vYm", key)) << kind;
        for (std::size_t i = 0; i < 6; i++) {
            auto guess = key.substr(0, kind.size() + i);
            EXPECT_FALSE(repeats_secret(guess, key)) << guess;
        }
    }
    const std::string jwt = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.";
    const std::string signature = "dGhpcyBpcyBpdCwgYWxs";
    EXPECT_FALSE(repeats_secret(jwt + "dGhpc", jwt + signature));
    EXPECT_TRUE(repeats_secret("IGlzIG and cyBpdC", jwt + signature));
    EXPECT_TRUE(repeats_secret("f81d4fae-7dec",
                               "f81d4fae-7dec-11d0-a765-"
                               "00a0c91e6bf6"));
    EXPECT_TRUE(repeats_secret("sk-ab12cd", "sk-ab12cd_" + signature));
    EXPECT_TRUE(repeats_secret("Ab-cd-", "Ab-cd-ef-" + signature));
    EXPECT_FALSE(repeats_secret("anything", ""));
    EXPECT_FALSE(repeats_secret("short short", "short"));
}

// A token of a login has thousands of runs, each of which is one.
TEST(ProviderRefusal, RepeatsALongSecret) {
    std::string secret;
    for (unsigned i = 0; i < 4000; i++) {
        secret += "ABCDEFGHIJKLMNOPabcdefghijklmnop"[i * i / 7 % 31];
    }
    for (std::size_t at = 0; at + 6 <= secret.size(); at++) {
        auto run = secret.substr(at, 6);
        EXPECT_TRUE(repeats_secret("<p>" + run + "</p>", secret)) << run;
        run[5] = '.';
        EXPECT_FALSE(repeats_secret("<p>" + run + "</p>", secret)) << run;
    }
}

// However a body is cut up, the guard sees what the whole would show.
TEST(ProviderRefusal, GuardsABodyInPieces) {
    const std::string secret = "sk-test-0123456789";
    for (std::string body :
         {"before sk-tes after", "before sk-te after", "456789", "45678",
          "xx0123456789xx", "s-k-t-e-s-t-", "sk-tesk-tesk-te", ""}) {
        bool repeats = repeats_secret(body, secret);
        for (std::size_t size = 1; size <= body.size() + 1; size++) {
            for (std::size_t first = 0; first <= body.size(); first++) {
                SecretGuard guard;
                bool passed = guard.pass(body.substr(0, first), secret);
                for (auto at = first; at < body.size(); at += size) {
                    passed =
                        guard.pass(body.substr(at, size), secret) && passed;
                }
                EXPECT_EQ(passed, !repeats)
                    << body << " in pieces of " << first << ", " << size;
            }
        }
    }
}

}  // namespace
}  // namespace keystile
