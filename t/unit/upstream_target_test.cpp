#include "upstream_target.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

namespace keystile {
namespace {

std::string upstream(const std::string &rule_text, const std::string &base,
                     const std::string &raw) {
    std::istringstream stream{rule_text};
    std::vector<std::string> texts;
    for (std::string word; stream >> word;) {
        texts.push_back(word);
    }
    std::vector<std::string_view> words{texts.begin(), texts.end()};
    auto rule = parse_rule(words);
    auto target = parse_request_target(raw);
    EXPECT_TRUE(rule) << rule_text;
    EXPECT_TRUE(target) << raw;
    EXPECT_TRUE(path_matches(rule->path, target->path)) << raw;

    UpstreamTarget whole{base, &*rule, *target};
    std::string out(whole.size(), '\0');
    EXPECT_EQ(whole.write(out.data()), out.data() + out.size());
    return out;
}

TEST(UpstreamTarget, Forms) {
    struct {
        const char *rule;
        const char *base;
        const char *sent;
        const char *upstream;
    } cases[] = {
        {"POST /v1/responses", "", "/v1/responses", "/v1/responses"},
        {"GET /v1/m query=*", "", "/v1/m?a=%41&b", "/v1/m?a=%41&b"},
        {"GET /v1/m query=*", "", "/v1/m?", "/v1/m?"},
        {"GET /v1/** query=*", "", "/v1/a%20b/", "/v1/a%20b/"},
        // A base path comes first, once.
        {"POST /responses", "/v1", "/responses", "/v1/responses"},
        {"POST /v1/responses", "/v1", "/v1/responses", "/v1/responses"},
        {"POST /v1x/responses", "/v1", "/v1x/responses", "/v1/v1x/responses"},
        {"POST /v1", "/v1", "/v1", "/v1"},
        {"GET /", "/v1", "/", "/v1/"},
        // to=
        {"POST /a to=/b", "", "/a", "/b"},
        {"POST /a to=/b query=*", "", "/a?x=1", "/b?x=1"},
        {"POST /a to=/b?v=1", "", "/a", "/b?v=1"},
        {"POST /a to=/b?v=1 query=*", "", "/a?x=1", "/b?x=1&v=1"},
        {"POST /a to=/b?v=1&w query=*", "", "/a?", "/b?v=1&w"},
        {"POST /a to=/b", "/v1", "/a", "/v1/b"},
        {"POST /a to=/v1/b", "/v1", "/a", "/v1/b"},
        {"GET /v1/*/x to=/o/*", "", "/v1/id/x", "/o/id"},
        {"GET /v1/* to=/o/*/y", "", "/v1/id", "/o/id/y"},
        {"GET /*/*/c to=/*/x/*", "", "/a/b/c", "/a/x/b"},
        {"GET /v1/** to=/o/**", "", "/v1/a/b/", "/o/a/b/"},
        {"GET /v1/** to=/o/**", "", "/v1/", "/o/"},
        {"GET /*/x/** to=/o/*/p/**", "", "/a/x/b/c", "/o/a/p/b/c"},
        {"GET /** to=/o/**", "", "/", "/o/"},
        {"GET /v1/* to=/o", "", "/v1/id", "/o"},
        {"POST /v1/responses to=/openai/deployments/d/r?api-version=1", "",
         "/v1/responses", "/openai/deployments/d/r?api-version=1"},
        // What a wildcard matched is no pattern.
        {"GET /*/*/c to=/*/x/*", "", "/*/**/c", "/*/x/**"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(upstream(c.rule, c.base, c.sent), c.upstream)
            << c.rule << " on " << c.sent;
    }
}

}  // namespace
}  // namespace keystile
