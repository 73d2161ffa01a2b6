#include "error_body.hpp"

#include <gtest/gtest.h>
#include <jansson.h>

#include <string>

namespace keystile {
namespace {

std::string text_of_body(const ErrorBody &body) {
    std::string out(body.size(), '\0');
    EXPECT_EQ(body.write(out.data()), out.data() + out.size());
    return out;
}

TEST(ErrorBody, OpenAi) {
    auto reply = describe(Denial::missing_key);
    EXPECT_EQ(
        text_of_body({ErrorShape::openai, reply,
                      " in Authorization header or x-api-key header", "r1"}),
        "{\"error\":{\"message\":\"Missing API key in Authorization "
        "header or x-api-key header\",\"type\":\"authentication_error\","
        "\"param\":null,\"code\":\"invalid_api_key\"}}");
}

TEST(ErrorBody, Anthropic) {
    auto reply = describe(Denial::invalid_key);
    EXPECT_EQ(text_of_body({ErrorShape::anthropic, reply, "", "r1"}),
              "{\"type\":\"error\",\"error\":{\"type\":"
              "\"authentication_error\",\"message\":\"Invalid API key\"},"
              "\"request_id\":\"r1\"}");
    EXPECT_EQ(text_of_body({ErrorShape::anthropic, reply, "", ""}),
              "{\"type\":\"error\",\"error\":{\"type\":"
              "\"authentication_error\",\"message\":\"Invalid API key\"}}");
}

TEST(ErrorBody, IsJsonWhateverIsInIt) {
    std::string all;
    for (int i = 0; i < 256; i++) {
        all += static_cast<char>(i);
    }
    for (auto shape : {ErrorShape::openai, ErrorShape::anthropic}) {
        auto text =
            text_of_body({shape, describe(Denial::invalid_key), all, all});
        auto json = json_loadb(text.data(), text.size(),
                               JSON_REJECT_DUPLICATES, nullptr);
        ASSERT_NE(json, nullptr) << text;
        auto message = json_string_value(
            json_object_get(json_object_get(json, "error"), "message"));
        EXPECT_NE(std::string{message}.find("Invalid API key????"),
                  std::string::npos);
        EXPECT_NE(std::string{message}.find("!\"#"), std::string::npos);
        EXPECT_NE(std::string{message}.find("[\\]"), std::string::npos);
        json_decref(json);
    }
}

// DESIGN's table of refusals.
TEST(Denials, Replies) {
    struct {
        Denial denial;
        unsigned status;
        const char *type;
        const char *code;
        bool retry_helps;
    } cases[] = {
        {Denial::bad_request_target, 400, "invalid_request_error",
         "bad_request_target", false},
        {Denial::duplicate_key_header, 400, "invalid_request_error",
         "duplicate_key_header", false},
        {Denial::bad_request_body, 400, "invalid_request_error",
         "bad_request_body", false},
        {Denial::missing_key, 401, "authentication_error", "invalid_api_key",
         false},
        {Denial::invalid_key, 401, "authentication_error", "invalid_api_key",
         false},
        {Denial::expired_key, 401, "authentication_error", "invalid_api_key",
         false},
        {Denial::path_not_allowed, 403, "permission_error", "path_not_allowed",
         false},
        {Denial::query_not_allowed, 403, "permission_error",
         "path_not_allowed", false},
        {Denial::key_in_query, 403, "permission_error", "path_not_allowed",
         false},
        {Denial::client_not_allowed, 403, "permission_error",
         "client_not_allowed", false},
        {Denial::address_not_allowed, 403, "permission_error",
         "address_not_allowed", false},
        {Denial::foreign_credential, 403, "permission_error",
         "foreign_credential", false},
        {Denial::method_not_allowed, 405, "invalid_request_error",
         "method_not_allowed", false},
        {Denial::websocket_not_allowed, 426, "invalid_request_error",
         "websocket_not_allowed", false},
        {Denial::upstream_credential_rejected, 503, "api_error",
         "upstream_credential_rejected", true},
    };
    for (const auto &c : cases) {
        auto reply = describe(c.denial);
        EXPECT_EQ(reply.status, c.status) << c.code;
        EXPECT_EQ(reply.type, c.type);
        EXPECT_EQ(reply.code, c.code);
        EXPECT_FALSE(reply.message.empty());
        EXPECT_EQ(reply.retry_helps, c.retry_helps) << c.code;
    }
}

TEST(Denials, RepliesToErrorsOfNginx) {
    struct {
        unsigned status;
        const char *type;
        const char *code;
    } cases[] = {
        {413, "invalid_request_error", "payload_too_large"},
        {429, "rate_limit_error", "rate_limit_exceeded"},
        {502, "api_error", "upstream_unavailable"},
        {504, "api_error", "upstream_timeout"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(describe_status(c.status).type, c.type);
        EXPECT_EQ(describe_status(c.status).code, c.code);
    }
    for (unsigned status = 400; status < 600; status++) {
        auto reply = describe_status(status);
        EXPECT_EQ(reply.status, status);
        EXPECT_FALSE(reply.type.empty());
        EXPECT_FALSE(reply.code.empty());
        EXPECT_FALSE(reply.message.empty());
        if (status >= 500) {
            EXPECT_TRUE(reply.retry_helps) << status;
        }
    }
}

}  // namespace
}  // namespace keystile
