#include "request_target.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

namespace keystile {
namespace {

using Fault = TargetFault;

TEST(RequestTarget, Accepted) {
    struct {
        std::string_view raw;
        std::string_view path;
        std::string_view query;
        bool has_query;
    } cases[] = {
        {"/", "/", "", false},
        {"/v1/responses", "/v1/responses", "", false},
        {"/v1/responses/", "/v1/responses/", "", false},
        {"/v1/responses?", "/v1/responses", "", true},
        {"/v1/models?client_version=1", "/v1/models", "client_version=1",
         true},
        {"/v1beta/models/gemini-pro:generateContent",
         "/v1beta/models/gemini-pro:generateContent", "", false},
        {"/a-b_c~d.e/$!&'()*+,=:@", "/a-b_c~d.e/$!&'()*+,=:@", "", false},
        {"/.well-known/x", "/.well-known/x", "", false},
        {"/...", "/...", "", false},
        {"/..a/a..", "/..a/a..", "", false},
        {"/a%20b", "/a%20b", "", false},
        {"/%C3%A9%c3%a9", "/%C3%A9%c3%a9", "", false},
        {"/%23%3F%5B%7B%22", "/%23%3F%5B%7B%22", "", false},
        // In the query, escapes and separators are the client's business.
        {"/x?a=//../%2e%2F%00;\\%zz%", "/x", "a=//../%2e%2F%00;\\%zz%", true},
        {"/x??", "/x", "?", true},
    };
    for (const auto &c : cases) {
        auto target = parse_request_target(c.raw);
        ASSERT_TRUE(target) << c.raw << describe(target.error());
        EXPECT_EQ(target->path, c.path);
        EXPECT_EQ(target->query, c.query);
        EXPECT_EQ(target->has_query, c.has_query);
        // Forwarded are the bytes that were matched.
        EXPECT_EQ(target->path.data(), c.raw.data());
    }
}

TEST(RequestTarget, Refused) {
    struct {
        std::string raw;
        Fault fault;
    } cases[] = {
        {"", Fault::not_origin_form},
        {"*", Fault::not_origin_form},
        {"v1/responses", Fault::not_origin_form},
        {"?a", Fault::not_origin_form},
        {"http://api.openai.com/v1/responses", Fault::not_origin_form},
        {"api.openai.com:443", Fault::not_origin_form},
        {"\\v1", Fault::not_origin_form},
        {"%2Fv1", Fault::not_origin_form},
        {" /v1", Fault::not_origin_form},
        {"//", Fault::empty_segment},
        {"//evil.example/v1", Fault::empty_segment},
        {"/v1//responses", Fault::empty_segment},
        {"/v1/responses//", Fault::empty_segment},
        {"/v1///", Fault::empty_segment},
        {"/.", Fault::dot_segment},
        {"/..", Fault::dot_segment},
        {"/./v1", Fault::dot_segment},
        {"/../v1", Fault::dot_segment},
        {"/v1/../admin", Fault::dot_segment},
        {"/v1/responses/..", Fault::dot_segment},
        {"/v1/responses/.", Fault::dot_segment},
        {"/v1/../?x", Fault::dot_segment},
        {"/v1/..?x", Fault::dot_segment},
        {"/v1\\responses", Fault::separator},
        {"/v1/..\\admin", Fault::separator},
        {"/v1/..;/admin", Fault::separator},
        {"/v1;a=b/responses", Fault::separator},
        {"/v1/responses;", Fault::separator},
        {"/v1/%", Fault::broken_escape},
        {"/v1/%2", Fault::broken_escape},
        {"/v1/%2/", Fault::broken_escape},
        {"/v1/%zz", Fault::broken_escape},
        {"/v1/%2g", Fault::broken_escape},
        {"/v1/%g2", Fault::broken_escape},
        {"/v1/%-1", Fault::broken_escape},
        {"/v1/%?41", Fault::broken_escape},
        {"/v1/%u002e", Fault::broken_escape},
        {"/v1/responses#x", Fault::forbidden_byte},
        {"/v1/responses?a#x", Fault::forbidden_byte},
        {"/v1/ responses", Fault::forbidden_byte},
        {"/v1/responses HTTP/1.1\r\nX: y", Fault::forbidden_byte},
        {"/v1?a=\x80", Fault::forbidden_byte},
        {"/v1/\xC0\xAE\xC0\xAE/x", Fault::forbidden_byte},
    };
    for (const auto &c : cases) {
        auto target = parse_request_target(c.raw);
        ASSERT_FALSE(target) << c.raw;
        EXPECT_EQ(describe(target.error()), describe(c.fault)) << c.raw;
    }
}

TEST(RequestTarget, EveryByte) {
    for (int i = 0; i < 256; i++) {
        auto byte = static_cast<char>(i);
        bool visible = i > 0x20 && i < 0x7F && byte != '#';

        auto in_query = "/x?" + std::string(1, byte);
        EXPECT_EQ(parse_request_target(in_query).has_value(), visible) << i;

        auto in_path = "/x" + std::string(1, byte) + "y";
        EXPECT_EQ(parse_request_target(in_path).has_value(),
                  visible && byte != '%' && byte != '\\' && byte != ';')
            << i;
    }
}

// What a server may decode before it looks at the path.
TEST(RequestTarget, EveryEscape) {
    const std::string needless = "/\\.;%-_~";
    for (int i = 0; i < 256; i++) {
        auto byte = static_cast<char>(i);
        bool unreserved = (byte >= '0' && byte <= '9') ||
                          (byte >= 'A' && byte <= 'Z') ||
                          (byte >= 'a' && byte <= 'z');
        bool refused = i < 0x20 || i == 0x7F || unreserved ||
                       needless.find(byte) != std::string::npos;
        for (auto format : {"/a/%%%02x/b", "/a/%%%02X/b", "/%%%02xb",
                            "/a%%%02X", "/a/%%25%02x"}) {
            char raw[32];
            std::snprintf(raw, sizeof(raw), format, i);
            bool doubled =
                std::string_view{raw}.find("%25") != std::string_view::npos;
            EXPECT_EQ(parse_request_target(raw).has_value(),
                      !refused && !doubled)
                << raw;
        }
    }
}

// Every way to write ".." and "/", between allowed segments.
TEST(RequestTarget, Traversals) {
    const std::vector<std::string> dots = {
        ".", "%2e", "%2E", "%252e", "\xC0\xAE", "%c0%2e", "%uff0e"};
    const std::vector<std::string> slashes = {
        "/", "\\", "%2f", "%2F", "%5c", "%5C", "%252f", "//", ";/", "/;a/"};
    int count = 0;
    for (const auto &before : slashes) {
        for (const auto &first : dots) {
            for (const auto &second : dots) {
                for (const auto &after : slashes) {
                    auto raw = "/v1/responses" + before + first + second +
                               after + "admin";
                    EXPECT_FALSE(parse_request_target(raw)) << raw;
                    count++;
                }
            }
        }
    }
    EXPECT_GE(count, 200);
}

TEST(RequestTarget, EachFaultHasASentence) {
    for (int i = 0; i <= static_cast<int>(Fault::needless_escape); i++) {
        EXPECT_FALSE(describe(static_cast<Fault>(i)).empty()) << i;
    }
}

}  // namespace
}  // namespace keystile
