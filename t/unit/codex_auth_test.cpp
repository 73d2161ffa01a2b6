#include "codex_auth.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "jwt.hpp"

namespace keystile {
namespace {

using Rule = SecretFileError::Rule;

const std::string kRefresh = "rt_test-refresh-0123456789";
const std::string kAccess =
    openai_jwt(R"("chatgpt_account_id":"acc-access")", R"(,"exp":1801353600)");
const std::string kId = openai_jwt(R"("chatgpt_account_id":"acc-id")");

// An auth.json with these members of "tokens".
std::string with_tokens(const std::string &tokens) {
    return R"({"auth_mode":"chatgpt","OPENAI_API_KEY":null,"tokens":{)" +
           tokens + R"(},"last_refresh":"2026-11-22T08:00:00Z"})";
}

std::string member(const std::string &name, const std::string &value) {
    return '"' + name + "\":\"" + value + '"';
}

// As "codex login" writes it.
std::string usual(const std::string &access = kAccess,
                  const std::string &id = kId,
                  const std::string &account = member("account_id", "acc-1")) {
    return with_tokens(member("id_token", id) + ',' +
                       member("access_token", access) + ',' +
                       member("refresh_token", kRefresh) + ',' + account);
}

Result<CodexAuth, SecretFileError> read(const std::string &text) {
    auto draft = CodexAuthDraft::create(text.size());
    if (!draft) {
        return draft.error();
    }
    EXPECT_EQ(draft->content().size(), text.size() + 1);
    std::memcpy(draft->content().data(), text.data(), text.size());
    return std::move(*draft).finish(text.size());
}

// The lines of a good one, and "EXPIRES" after them.
std::string lines_of(const std::string &text) {
    auto auth = read(text);
    if (!auth) {
        return std::string{describe(auth.error().rule)};
    }
    return std::string{auth->lines.line()} + std::to_string(auth->expires);
}

std::string bearer(const std::string &token) {
    return "Authorization: Bearer " + token + "\r\n";
}

std::string account(const std::string &id) {
    return "ChatGPT-Account-ID: " + id + "\r\n";
}

// Expects a text to be refused for one rule.
void refused(const std::string &text, Rule rule) {
    auto auth = read(text);
    ASSERT_FALSE(auth) << text;
    EXPECT_EQ(describe(auth.error().rule), describe(rule)) << text;
}

TEST(CodexAuth, BecomesHeaderLines) {
    auto auth = read(usual());
    ASSERT_TRUE(auth);
    EXPECT_EQ(auth->lines.line(), bearer(kAccess) + account("acc-1"));
    EXPECT_EQ(auth->lines.value(), kAccess);
    EXPECT_EQ(auth->expires, 1801353600);
    EXPECT_TRUE(auth->lines.lock_again());
}

TEST(CodexAuth, AccountOfAClaim) {
    for (const char *none :
         {R"("x":1)", R"("account_id":null)", R"("account_id":"")"}) {
        EXPECT_EQ(lines_of(usual(kAccess, kId, none)),
                  bearer(kAccess) + account("acc-access") + "1801353600");
        EXPECT_EQ(lines_of(usual("opaque", kId, none)),
                  bearer("opaque") + account("acc-id") + "0");
        EXPECT_EQ(lines_of(usual(jwt(R"({"exp":7})"), kId, none)),
                  bearer(jwt(R"({"exp":7})")) + account("acc-id") + "7");
        refused(usual("opaque", "opaque", none), Rule::codex_account);
        refused(usual("opaque", jwt("{}"), none), Rule::codex_account);
        refused(usual("opaque", "", none), Rule::codex_account);
    }
}

TEST(CodexAuth, Fedramp) {
    const std::string yes = R"("chatgpt_account_is_fedramp":true)";
    const std::string no = R"("chatgpt_account_is_fedramp":false)";
    struct {
        std::string access, id;
        bool is_fedramp;
    } cases[] = {
        {openai_jwt(yes), "x", true},
        {"x", openai_jwt(yes), true},
        {openai_jwt(no), openai_jwt(yes), true},
        {openai_jwt(yes), openai_jwt(no), true},
        {openai_jwt(no), openai_jwt(no), false},
        {"x", "x", false},
        {jwt("{" + yes + "}"), jwt("{" + yes + "}"), false},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(lines_of(usual(c.access, c.id)),
                  bearer(c.access) + account("acc-1") +
                      (c.is_fedramp ? "X-OpenAI-Fedramp: true\r\n" : "") +
                      "0");
    }
}

TEST(CodexAuth, OtherWaysToWriteIt) {
    const auto lines = bearer("ab/c.d") + account("acc-1") + "0";
    for (
        const char *text : {
            R"({"tokens":{"access_token":"ab/c.d","account_id":"acc-1"}})",
            R"({"tokens":{"account_id":"acc-1","access_token":"ab\/c.d"}})",
            R"({"tokens":{"account_id":"\u0061cc-1","access_token":"ab\/c\u002Ed"}})",
            R"({"tok\u0065ns":{"account_id":"acc-1","access_\u0074oken":"ab/c.d"}})",
            "\n{ \"tokens\" :\r\n\t{\"access_token\": \"ab/c.d\" ,\n"
            " \"account_id\" : \"acc-1\" } }\n\n",
            R"({"OPENAI_API_KEY":"sk-test-x","auth_mode":"chatgpt","tokens":)"
            R"({"access_token":"ab/c.d","account_id":"acc-1"}})",
            R"({"auth_mode":"chatgptAuthTokens","x":1,"x":2,"tokens":)"
            R"({"access_token":"ab/c.d","account_id":"acc-1","y":{},"y":[]}})",
            R"({"auth_mode":null,"OPENAI_API_KEY":null,"tokens":)"
            R"({"access_token":"ab/c.d","account_id":"acc-1","id_token":{}}})",
        }) {
        EXPECT_EQ(lines_of(text), lines) << text;
    }
}

TEST(CodexAuth, AnApiKeyGoesAlone) {
    for (const char *text : {
             R"({"auth_mode":"apikey","OPENAI_API_KEY":"sk-test-k"})",
             R"({"OPENAI_API_KEY":"sk-test-k"})",
             R"({"OPENAI_API_KEY":"sk-test-k","tokens":null})",
             R"({"OPENAI_API_KEY":"sk-test-k","auth_mode":"apikey","tokens":)"
             R"({"access_token":"x","access_token":"y","account_id":"a"}})",
         }) {
        EXPECT_EQ(lines_of(text), bearer("sk-test-k") + "0") << text;
    }
    for (const char *text : {
             R"({"auth_mode":"apikey"})",
             R"({"auth_mode":"apikey","OPENAI_API_KEY":null})",
             R"({"auth_mode":"apikey","OPENAI_API_KEY":7})",
             R"({"auth_mode":"apikey","OPENAI_API_KEY":""})",
             R"({"auth_mode":"apikey","tokens":{"access_token":"x"}})",
         }) {
        refused(text, Rule::codex_api_key);
    }
    refused(R"({"OPENAI_API_KEY":"sk-your-api-key"})", Rule::not_placeholder);
    refused(R"({"OPENAI_API_KEY":"sk test"})", Rule::token_characters);
}

TEST(CodexAuth, RefusesOtherModes) {
    const std::string tokens =
        R"(,"tokens":{"access_token":"x","account_id":"a"}})";
    struct {
        const char *mode;
        Rule rule;
    } cases[] = {
        {R"("agentIdentity")", Rule::codex_agent_identity},
        {R"("bedrockApiKey")", Rule::codex_bedrock},
        {R"("ChatGPT")", Rule::codex_mode},
        {R"("")", Rule::codex_mode},
        {"1", Rule::codex_mode},
        {"{}", Rule::codex_mode},
        {"true", Rule::codex_mode},
    };
    for (const auto &c : cases) {
        refused(R"({"auth_mode":)" + std::string{c.mode} + tokens, c.rule);
    }
}

TEST(CodexAuth, RefusesTokensThatAreNone) {
    for (const char *text : {
             "{}",
             R"({"tokens":null})",
             R"({"tokens":[]})",
             R"({"tokens":"x"})",
             R"({"access_token":"x","account_id":"a"})",
             R"({"auth_mode":"chatgpt","OPENAI_API_KEY":"sk-test-x"})",
         }) {
        refused(text, Rule::codex_tokens);
    }
    for (const char *access :
         {R"("x":1)", R"("access_token":null)", R"("access_token":7)",
          R"("access_token":["x"])", R"("access_token":"")"}) {
        refused(with_tokens(R"("account_id":"a",)" + std::string{access}),
                Rule::codex_access_token);
    }
    for (const char *access :
         {" ", "a b", "a\\nb", "a\\r\\nX-Evil: 1", "a\\u0000", "\xC3\xA9",
          "\\u00e9", "a\x7F", "\\t", "a\\\"\\u0020"}) {
        refused(usual(access), Rule::token_characters);
    }
    refused(usual("changeme"), Rule::not_placeholder);
}

TEST(CodexAuth, RefusesAccountsThatAreNone) {
    for (const char *value : {"1", "true", "{}", "[\"a\"]"}) {
        refused(usual(kAccess, kId, R"("account_id":)" + std::string{value}),
                Rule::codex_account);
    }
    for (const char *value :
         {"a b", "a\\r\\nX-Evil: 1", "\\n", "\xC3\xA9", "\\u0000"}) {
        refused(usual(kAccess, kId, member("account_id", value)),
                Rule::codex_account);
        refused(usual(openai_jwt(member("chatgpt_account_id", value)), kId,
                      R"("x":1)"),
                Rule::codex_account);
    }
    auto of_length = [](std::size_t length) {
        return usual(kAccess, kId,
                     member("account_id", std::string(length, 'a')));
    };
    EXPECT_EQ(lines_of(of_length(256)),
              bearer(kAccess) + account(std::string(256, 'a')) + "1801353600");
    refused(of_length(257), Rule::codex_account);
    refused(
        usual(openai_jwt(member("chatgpt_account_id", std::string(257, 'a'))),
              kId, R"("x":1)"),
        Rule::codex_account);
}

TEST(CodexAuth, SaysWhere) {
    struct {
        std::string text;
        Rule rule;
        int line, column;
    } cases[] = {
        {"", Rule::json, 1, 1},
        {"{\n  \"tokens\": {\n", Rule::json, 3, 1},
        {"{\n  \"tokens\": {,}}", Rule::json, 2, 14},
        {"[]", Rule::json_object, 1, 1},
        {"sk-test-key", Rule::json_object, 1, 1},
        {"{\"\xC3\xA9\":x}", Rule::json, 1, 6},
        {"{\"tokens\":1,\n\"tokens\":2}", Rule::json_doubled, 2, 1},
        {"{\"auth_mode\":1,\"auth_mode\":2}", Rule::json_doubled, 1, 16},
        {"{\"tokens\":{\n \"access_token\":\"x\",\n \"access_token\":\"y\"}}",
         Rule::json_doubled, 3, 2},
        {"{\"a\":\n" + std::string(40, '['), Rule::json_depth, 2, 32},
    };
    for (const auto &c : cases) {
        auto auth = read(c.text);
        ASSERT_FALSE(auth) << c.text;
        EXPECT_EQ(describe(auth.error().rule), describe(c.rule)) << c.text;
        EXPECT_EQ(auth.error().line, c.line) << c.text;
        EXPECT_EQ(auth.error().column, c.column) << c.text;
    }
}

TEST(CodexAuth, EveryCutIsRefused) {
    const auto text = usual();
    for (std::size_t size = 0; size < text.size(); size++) {
        auto auth = read(text.substr(0, size));
        ASSERT_FALSE(auth) << size;
        EXPECT_EQ(describe(auth.error().rule), describe(Rule::json)) << size;
    }
}

TEST(CodexAuth, Sizes) {
    const std::string longest(SecretDraft::kMaxContent, 't');
    EXPECT_EQ(lines_of(usual(longest)),
              bearer(longest) + account("acc-1") + "0");
    refused(usual(longest + 't'), Rule::token_size);

    auto padded = [](std::size_t size) {
        auto text = usual();
        return text + std::string(size - text.size(), ' ');
    };
    EXPECT_TRUE(read(padded(CodexAuthDraft::kMaxContent)));
    refused(padded(CodexAuthDraft::kMaxContent + 1), Rule::auth_size_limit);
}

// All of the pages, behind the line too: nothing but it is left.
TEST(CodexAuth, NothingElseIsLeft) {
    const auto text = usual();
    auto auth = read(text);
    ASSERT_TRUE(auth);
    auto line = auth->lines.line();
    const std::size_t page = 4096;
    auto used = 3 * text.size() + 513;
    std::string_view pages{line.data(), (used + page - 1) / page * page};
    for (const auto &secret : {kRefresh, kId, std::string{"last_refresh"},
                               std::string{"acc-access"}}) {
        EXPECT_EQ(pages.find(secret), std::string_view::npos) << secret;
    }
    EXPECT_EQ(pages.find(kAccess), 22U);
    EXPECT_EQ(pages.find(kAccess, 23), std::string_view::npos);
    EXPECT_TRUE(
        std::all_of(pages.begin() + static_cast<std::ptrdiff_t>(line.size()),
                    pages.end(), [](char c) { return c == '\0'; }));
}

}  // namespace
}  // namespace keystile
