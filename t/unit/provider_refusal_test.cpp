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
         R"({"error":{"code":"invalid_api_key","message":")",
         R"({"error":{"code":400,"message":"x","details":[{"@type":"t",)"
         R"("reason": "API_KEY_INVALID"}]}})"}) {
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
          R"({"error":{"message":"no \"reason\":\"API_KEY_INVALID\""}})",
          R"(<p>"reason":"API_KEY_INVALID"</p>)",
          R"({"message":"Invalid API key"})"}) {
        EXPECT_FALSE(error_says_credential_is_bad(body)) << body;
    }
}

TEST(ProviderRefusal, TheNameOfAnError) {
    struct {
        std::string_view body;
        std::string_view name;
    } cases[] = {
        {R"({"error":{"message":"No","code":"unsupported_country",)"
         R"("type":"request_forbidden"}})",
         "unsupported_country"},
        {R"({"error":{"type":"a","code":"b"}})", "b"},
        {R"({"error":{"type":"a","code":null}})", "a"},
        {R"({"type":"error","error":{"type":"permission_error"}})",
         "permission_error"},
        {R"({"error":{"code":403,"message":"x","status":"PERMISSION_DENIED"}})",
         "PERMISSION_DENIED"},
        {R"([{"error":{"status":"PERMISSION_DENIED"}}])", "PERMISSION_DENIED"},
        {R"({"error":{"code":"cut_off","message":"x)", "cut_off"},
        {R"({"error":{"type":"a","code":"sk-test-1"}})", "a"},
        {R"({"error":{"code":"with blank"}})", ""},
        {R"({"error":{"code":""}})", ""},
        {R"({"error":"code"})", ""},
        {R"({"code":"outside"})", ""},
        {"<html>", ""},
        {"", ""},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(name_of_error(c.body).view(), c.name) << c.body;
    }
    auto error = [](std::size_t size) {
        return R"({"error":{"code":")" + std::string(size, 'x') + "\"}}";
    };
    EXPECT_EQ(name_of_error(error(48)).view().size(), 48U);
    EXPECT_EQ(name_of_error(error(49)).view(), "");
}

}  // namespace
}  // namespace keystile
