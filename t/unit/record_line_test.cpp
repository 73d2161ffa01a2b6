#include "record_line.hpp"

#include <gtest/gtest.h>
#include <jansson.h>

#include <string>

#include "compressed.hpp"

namespace keystile {
namespace {

class RecordLine : public testing::Test {
protected:
    static constexpr std::size_t kMost = 100'000;

    void SetUp() override {
        auto &head = record_.head;
        head.most = kMost;
        head.status = 200;
        head.seconds = 1'796'083'200;
        head.milliseconds = 7;
        head.method.set("POST");
        head.path.set("/v1/responses");
    }

    // The line, parsed; checks that it is one.
    json_t *line() {
        text_.clear();
        RecordLoss loss{};
        EXPECT_TRUE(write_record(record_, text_, loss));
        auto text = text_.view();
        EXPECT_EQ(text.find('\n'), text.size() - 1);
        json_decref(json_);
        json_ = json_loadb(text.data(), text.size(), JSON_ALLOW_NUL, nullptr);
        EXPECT_NE(json_, nullptr) << text;
        return json_;
    }

    void TearDown() override {
        json_decref(json_);
        EXPECT_LE(budget_.held(), kBudget);
        record_.request.drop();
        record_.response.drop();
        EXPECT_EQ(budget_.held(), 0U);
    }

    std::string dropped() {
        auto *value = json_object_get(line(), "dropped");
        return json_is_string(value) ? json_string_value(value) : "";
    }

    // A member of the line, as JSON.
    std::string member(const char *name) {
        auto *text = json_dumps(json_object_get(line(), name),
                                JSON_COMPACT | JSON_ENCODE_ANY);
        std::string copy = text == nullptr ? "" : text;
        free(text);
        return copy;
    }

    static constexpr std::size_t kBudget = 1'000'000;
    RecordBudget budget_{kBudget};
    Record record_{budget_, kMost};
    HeapText text_;
    json_t *json_ = nullptr;
};

TEST_F(RecordLine, HasItsTime) {
    EXPECT_EQ(member("time"), R"("2026-12-01T00:00:00.007Z")");
    record_.head.milliseconds = 999;
    EXPECT_EQ(member("time"), R"("2026-12-01T00:00:00.999Z")");
}

TEST_F(RecordLine, KeepsARequestAsItIs) {
    record_.request.append("{\"a\" : [1.0,\n1e30 ],\t\"a\":\"\\u0000<\"}");
    record_.response.append("{}");
    line();
    EXPECT_NE(
        text_.view().find(R"("request":{"a":[1.0,1e30],"a":"\u0000<"},)"),
        std::string_view::npos)
        << text_.view();
}

TEST_F(RecordLine, TakesARequestThatIsNoJsonForText) {
    record_.request.append("{\"a\":\n");
    record_.response.append("{}");
    EXPECT_EQ(member("request"), R"("{\"a\":\n")");
    EXPECT_EQ(dropped(), "request_decode");
}

TEST_F(RecordLine, WritesBase64) {
    record_.response.append("{}");
    for (auto [bytes, base64] : {std::pair{"\xFF", "/w=="},
                                 {"\xFF\x01", "/wE="},
                                 {"\xFF\x01z", "/wF6"},
                                 {"\xFF\x01z\xFE", "/wF6/g=="}}) {
        record_.request.restart(kMost);
        record_.request.append(bytes);
        EXPECT_EQ(member("request"),
                  std::string{"{\"base64\":\""} + base64 + "\"}");
    }
}

TEST_F(RecordLine, UnpacksBothBodies) {
    record_.head.request_encoding.set("zstd");
    record_.head.request_encoding.add("gzip");
    record_.head.response_encoding.set("gzip");
    record_.request.append(gzipped(zstd_stream("{\"model\":\"m\"}")));
    record_.response.append(gzipped("{\"b\":2}"));
    EXPECT_EQ(member("request"), R"({"model":"m"})");
    EXPECT_EQ(member("response"), R"({"b":2})");
    EXPECT_EQ(member("model"), R"("m")");
    EXPECT_EQ(dropped(), "");
}

TEST_F(RecordLine, StopsWhereABodyUnpacksToTooMuch) {
    record_.head.request_encoding.set("zstd");
    record_.request.append(zstd_stream("{", 21, 50'000'000));
    record_.response.append("{}");
    EXPECT_EQ(json_string_length(json_object_get(line(), "request")), kMost);
    EXPECT_EQ(member("truncated"), R"(["request"])");
    EXPECT_EQ(dropped(), "");
}

TEST_F(RecordLine, SaysWhatIsBroken) {
    record_.head.response_encoding.set("gzip");
    record_.request.append("{}");
    auto whole = gzipped("{\"b\":2}");
    for (std::size_t size : {whole.size() - 1, whole.size() / 2}) {
        record_.response.restart(kMost);
        record_.response.append(std::string_view{whole}.substr(0, size));
        EXPECT_EQ(dropped(), "response_decode") << size;
    }
}

TEST_F(RecordLine, KeepsNoBodyOfWhatIsNoTurn) {
    record_.request.append("{\"model\":\"m\"}");
    record_.response.append("{}");
    record_.head.path.set("/v1/embeddings");
    EXPECT_EQ(dropped(), "non_turn_request");
    EXPECT_EQ(member("request"), "");
    record_.head.status = 429;
    EXPECT_EQ(dropped(), "upstream_status");
    record_.head.status = 0;
    EXPECT_EQ(dropped(), "upstream_no_response");
    record_.head.end = RecordEnd::client_left;
    EXPECT_EQ(dropped(), "client_disconnect");
    EXPECT_EQ(member("response"), "");
    EXPECT_EQ(member("model"), R"("m")");
}

TEST_F(RecordLine, LeavesOutWhatThereIsNoMemoryFor) {
    record_.request.append("{\"model\":\"m\"}");
    RecordBudget small{10'000};
    {
        RecordBytes bytes{small, kMost};
        bytes.append(std::string(4000, 'x'));
        EXPECT_FALSE(bytes.is_over_budget());
        bytes.append(std::string(20'000, 'x'));
        EXPECT_TRUE(bytes.is_over_budget());
        EXPECT_EQ(small.held(), 0U);
        bytes.append("y");
        EXPECT_EQ(bytes.seen(), 24'001U);
    }
    EXPECT_EQ(small.held(), 0U);
}

TEST_F(RecordLine, CutsWhatIsLongerThanItMayBe) {
    record_.response.append("{}");
    record_.request.restart(5);
    record_.request.append("abc");
    record_.request.append("defg");
    EXPECT_EQ(member("request"), R"("abcde")");
    EXPECT_EQ(member("request_bytes"), "7");
    EXPECT_EQ(member("truncated"), R"(["request"])");
    EXPECT_EQ(dropped(), "");
}

TEST_F(RecordLine, HidesKeys) {
    const std::string key = "sk-test-0123456789abcdef";
    record_.head.hide(key);
    record_.head.hide("short");
    record_.request.append("{\"a\":\"" + key + key + "\",\"b\":\"short x" +
                           key.substr(1) + "\"}");
    record_.response.append("{}");
    auto stars = std::string(key.size(), '*');
    EXPECT_EQ(member("request"), "{\"a\":\"" + stars + stars +
                                     "\",\"b\":\"short x" + key.substr(1) +
                                     "\"}");
    EXPECT_EQ(member("hidden_keys"), "2");
}

// What a caller presents as a key need be none.
TEST_F(RecordLine, IsALineWhateverIsPresentedAsAKey) {
    const std::string secret = "sk-test-provider-0123456789";
    const std::string body =
        R"({"api_key":")" + secret +
        R"(","n":[11111,22222,33333,44444],)"
        R"("a":"\nAAAAAAAAAAAAAAA","b":"BBBBBBBBBBBBBBB\", ","c":"\u00e9)"
        R"(bcdefghijklmnop"})";
    for (std::string key :
         {R"(ent":"agent-of-a-long-name","creden)", "agent-of-a-long-name",
          R"(,"transport":"http","method":"POST",)", "11111,22222,33333",
          R"(nAAAAAAAAAAAAAAA)", R"(BBBBBBBBBBBBBBB\)", R"(9bcdefghijklmnop)",
          R"(00e9bcdefghijklm)", R"("api_key":"sk-test-pro)",
          "2026-12-01T00:00", "0000000000000000"}) {
        record_.head.key_count = 0;
        record_.head.hide(key);
        record_.head.hide(secret);
        record_.head.client.set("agent-of-a-long-name");
        record_.head.credential.set("openai");
        record_.request.restart(100'000);
        record_.request.append(body);
        EXPECT_EQ(member("client"), R"("agent-of-a-long-name")") << key;
        EXPECT_EQ(member("credential"), R"("openai")") << key;
        EXPECT_EQ(member("time"), R"("2026-12-01T00:00:00.007Z")") << key;
        EXPECT_EQ(text_.view().find(secret.substr(8)), std::string::npos)
            << key;
    }
}

TEST_F(RecordLine, HidesKeysInItsHead) {
    const std::string key = "sk-test-0123456789abcdef";
    record_.head.hide(key);
    record_.head.session.set("a" + key);
    record_.head.path.set("/v1/responses/" + key);
    auto stars = std::string(key.size(), '*');
    EXPECT_EQ(member("session_id"), "\"a" + stars + "\"");
    EXPECT_EQ(member("path"), "\"/v1/responses/" + stars + "\"");
    EXPECT_EQ(member("hidden_keys"), "2");
}

// Memory that there was not then may be there for the next.
TEST_F(RecordLine, BeginsAnewAfterABodyThatWasTooMuch) {
    ASSERT_TRUE(budget_.take(kBudget));
    record_.request.append("{}");
    EXPECT_TRUE(record_.request.is_over_budget());
    budget_.give(kBudget);
    record_.request.restart(kMost);
    record_.request.append("{}");
    EXPECT_FALSE(record_.request.is_over_budget());
    EXPECT_EQ(member("request"), "{}");
}

// What is written as base64 is searched before it is.
TEST_F(RecordLine, HidesKeysInBytes) {
    const std::string key = "sk-test-0123456789abcdef";
    record_.head.hide(key);
    record_.request.append("{}");
    record_.response.append("\xFF" + key);
    EXPECT_EQ(member("response"),
              R"({"base64":"/yoqKioqKioqKioqKioqKioqKioqKioqKg=="})");
    EXPECT_EQ(member("hidden_keys"), "1");
}

// Of a key that is cut off, no search finds the rest.
TEST_F(RecordLine, LeavesNoPartOfAKeyThatIsCut) {
    constexpr std::string_view key = "sk-test-client-5ab3e7d1";
    record_.head.hide(key);
    for (std::size_t part = 1; part < key.size(); part++) {
        record_.request.restart(kMost);
        std::string body(kMost - part, '.');
        body += key;
        record_.request.append(body);
        auto request = member("request");
        EXPECT_EQ(request.find("sk-test"), std::string::npos) << part;
        EXPECT_EQ(request.find_last_of("sk"), std::string::npos) << part;
        EXPECT_EQ(member("truncated"), R"(["request"])");
    }
}

TEST_F(RecordLine, ReadsGeminisPath) {
    record_.head.path.set("/v1beta/models/g%3AstreamGenerateContent");
    record_.request.append("{}");
    record_.response.append(
        R"([{"candidates":[{"content":{"parts":[{"text":"a"}]}}]},)"
        R"({"candidates":[{"content":{"parts":[{"text":"b"}]},)"
        R"("finishReason":"STOP"}]}])");
    EXPECT_EQ(member("api"), R"("gemini")");
    EXPECT_EQ(member("model"), R"("g")");
    EXPECT_EQ(member("stream"), "true");
    EXPECT_NE(member("response").find(R"("text":"ab")"), std::string::npos)
        << text_.view();
    EXPECT_EQ(dropped(), "");
}

TEST_F(RecordLine, JoinsTheMessagesOfASocket) {
    record_.head.is_websocket = true;
    record_.head.status = 101;
    record_.request.append(R"({"type":"response.create","model":"m"})");
    record_.response.append("\x1E{\"type\":\"codex.rate_limits\"}");
    record_.response.append("\x1E{\"type\":\"response.completed\",");
    record_.response.append("\"response\":{\"id\":\"r\"}}");
    EXPECT_EQ(member("response"), R"({"id":"r"})");
    EXPECT_EQ(dropped(), "");
    record_.response.append(
        "\x1E{\"type\":\"error\",\"status\":429,\"error\":{}}");
    EXPECT_EQ(dropped(), "upstream_status");
    EXPECT_EQ(member("status"), "429");
}

TEST_F(RecordLine, LeavesBodiesOut) {
    record_.head.has_bodies = false;
    record_.request.append("{\"model\":\"m\"}");
    record_.response.append("data: nothing\n\n");
    EXPECT_EQ(dropped(), "reducer_error");
    EXPECT_EQ(member("request") + member("response"), "");
}

TEST(RecordText, KeepsWhatThereIsRoomFor) {
    RecordText<6> text;
    EXPECT_EQ(text.view(), "");
    text.add("ab");
    text.add("cdef");
    EXPECT_EQ(text.view(), "ab, cd");
    text.set("ghijklm");
    EXPECT_EQ(text.view(), "ghijkl");
}

}  // namespace
}  // namespace keystile
