#include "usage.hpp"

#include <gtest/gtest.h>

#include <string>

#include "golden_replies.hpp"
#include "pieces.hpp"
#include "usage_text.hpp"

namespace keystile {
namespace {

template <typename Read>
std::string usage_of(Read read) {
    UsageReader reader;
    read([&reader](std::string_view piece) { reader.read(piece); });
    reader.end();
    auto usage = reader.usage();
    return text_of(usage) + (usage.broke_off ? " broken-off" : "");
}

std::string usage_of_body(std::string_view body) {
    return usage_of([body](auto take) { in_pieces(body, 16384, take); });
}

std::string replaced(std::string text, const std::string &from,
                     const std::string &to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos;
         at += to.size()) {
        text.replace(at, from.size(), to);
    }
    return text;
}

TEST(Usage, OfEachProviderHoweverItIsCut) {
    for (const auto &reply : golden_replies()) {
        for_each_cut(reply.body, [&](auto read) {
            EXPECT_EQ(usage_of(read), reply.usage) << reply.name;
        });
    }
}

TEST(Usage, WhateverEndsTheLines) {
    for (const auto &reply : golden_replies()) {
        for (std::string end : {"\r", "\r\n"}) {
            for_each_cut(replaced(reply.body, "\n", end), [&](auto read) {
                EXPECT_EQ(usage_of(read), reply.usage) << reply.name;
            });
        }
    }
}

TEST(Usage, WhateverStandsBefore) {
    for (const auto &reply : golden_replies()) {
        for (std::string before :
             {"\xEF\xBB\xBF", "\n", "\r\n \n", "\xEF\xBB\xBF\n"}) {
            for_each_cut(before + reply.body, [&](auto read) {
                EXPECT_EQ(usage_of(read), reply.usage) << reply.name;
            });
        }
    }
}

// Clients leave at the last event, before its blank line has come.
TEST(Usage, TheLastEventCountsFromWhereItsJsonCloses) {
    for (const auto &reply : golden_replies()) {
        if (reply.name == "chat, usage not asked for") {
            continue;  // "[DONE]" is no JSON
        }
        auto body = reply.body;
        while (body.ends_with('\n')) {
            body.pop_back();
        }
        EXPECT_EQ(usage_of_body(body), reply.usage) << reply.name;
    }
}

TEST(Usage, IsNotCompleteBeforeTheEnd) {
    for (const auto &reply : golden_replies()) {
        auto end = reply.body.find_last_of("}]");
        for (std::size_t size = 0; size < end && end != std::string::npos;
             size++) {
            UsageReader reader;
            reader.read(std::string_view{reply.body}.substr(0, size));
            auto usage = reader.usage();
            bool says_more = reply.name.starts_with("chat, ") ||
                             reply.name == "messages, events";
            EXPECT_FALSE(usage.complete && !says_more) << reply.name;
        }
    }
}

TEST(Usage, GeminiIsCompleteOnlyWhenTheReplyIs) {
    UsageReader reader;
    reader.read(R"(data: {"usageMetadata":{"promptTokenCount":7,)"
                R"("candidatesTokenCount":1}})"
                "\n\n");
    EXPECT_EQ(text_of(reader.usage()), "in 7 out 1");
    reader.end();
    EXPECT_EQ(text_of(reader.usage()), "in 7 out 1 complete");
}

TEST(Usage, AnEventOf16Megabytes) {
    std::string large;
    while (large.size() < 16U << 20) {
        large += R"(\"}] a \\ text\n)";
    }
    const std::string tail =
        R"(","usage":{"input_tokens":1}}],"usage":{"input_tokens":5,)"
        R"("output_tokens":6},"model":"m"}})";
    EXPECT_EQ(usage_of_body(R"(data: {"type":"response.completed",)"
                            R"("response":{"output":[{"text":")" +
                            large + tail + "\n\n"),
              "in 5 out 6 of m complete");
    EXPECT_EQ(usage_of_body(R"(data: {"type":"response.output_text.done",)"
                            R"("response":{"output":[{"text":")" +
                            large + tail + "\n\n"),
              "");
    EXPECT_EQ(
        usage_of_body(R"({"response":{"output":[{"text":")" + large + tail),
        "in 5 out 6 of m complete");
}

// Anthropic's, where the figures beside them are of one model alone.
TEST(Usage, Iterations) {
    const std::string iterations =
        R"("iterations":[{"type":"message","input_tokens":5,)"
        R"("output_tokens":6},{"type":"advisor_message","model":"b",)"
        R"("input_tokens":100,"cache_read_input_tokens":20,)"
        R"("cache_creation_input_tokens":3,"output_tokens":40}])";
    EXPECT_EQ(usage_of_body(R"({"model":"a","usage":{"input_tokens":5,)" +
                            iterations + R"(,"output_tokens":6}})"),
              "in 128 out 46 of a complete mixed");
    const std::string message =
        "data: "
        R"({"type":"message_start","message":{"model":"a","usage":{)" +
        iterations +
        R"(,"input_tokens":5,"output_tokens":1}}})"
        "\n\n"
        "data: "
        R"({"type":"message_delta","usage":{"output_tokens":6,)" +
        iterations + "}}\n\n";
    EXPECT_EQ(usage_of_body(message), "in 128 out 46 of a complete mixed");
    EXPECT_EQ(usage_of_body(R"({"usage":{"input_tokens":9,"output_tokens":8,)"
                            R"("iterations":[{"input_tokens":9,)"
                            R"("output_tokens":"8"}, 7]}})"),
              "in 9 out 8 complete");
}

TEST(Usage, DoubledMembersTheLastCounts) {
    EXPECT_EQ(usage_of_body(R"({"usage":{"input_tokens":1,"input_tokens":2},)"
                            R"("model":"a","usage":{"output_tokens":3},)"
                            R"("model":"b"})"),
              "in 2 out 3 of b complete");
}

TEST(Usage, EscapesInNames) {
    EXPECT_EQ(
        usage_of_body(R"({"\u0075sage":{"input\u005ftokens":1,)"
                      R"("output_toke\u006Es":2},"mo\u0064el":"\u0061"})"),
        "in 1 out 2 of a complete");
}

TEST(Usage, WhatIsNoCountIsUnseen) {
    for (std::string count : {"-1", "1.5", "1e2", "18446744073709551616",
                              "\"7\"", "true", "{}", "[]", "null"}) {
        EXPECT_EQ(usage_of_body(R"({"usage":{"input_tokens":)" + count +
                                R"(,"output_tokens":3}})"),
                  "out 3 complete")
            << count;
    }
    EXPECT_EQ(usage_of_body(R"({"usage":{"input_tokens":5},)"
                            R"("usage":{"input_tokens":-1}})"),
              "complete");
    EXPECT_EQ(usage_of_body(R"({"usage":{"input_tokens":5},"usage":null})"),
              "in 5 complete");
}

TEST(Usage, SumsDoNotOverflow) {
    EXPECT_EQ(
        usage_of_body(R"({"usage":{"input_tokens":18446744073709551615,)"
                      R"("cache_read_input_tokens":18446744073709551615}})"),
        "in 18446744073709551615 cached 18446744073709551615 complete");
}

TEST(Usage, ModelsThatAreNoNames) {
    EXPECT_EQ(usage_of_body(R"({"model":""})"), "complete");
    EXPECT_EQ(usage_of_body(R"({"model":"a\nb"})"), "complete");
    EXPECT_EQ(usage_of_body("{\"model\":\"a\xFE\"}"), "complete");
    EXPECT_EQ(usage_of_body("{\"model\":\"a\xC3\"}"), "complete");
    EXPECT_EQ(usage_of_body("{\"model\":\"\xC3\xA9\"}"),
              "of \xC3\xA9 complete");
    EXPECT_EQ(usage_of_body(R"({"model":5})"), "complete");
    EXPECT_EQ(usage_of_body(R"({"model":")" + std::string(65, 'a') + R"("})"),
              "complete");
    auto longest = std::string(64, 'a');
    EXPECT_EQ(usage_of_body(R"({"model":")" + longest + R"("})"),
              "of " + longest + " complete");
}

TEST(Usage, ABrokenEventSpoilsNoOther) {
    EXPECT_EQ(usage_of_body("data: {\"usage\":{\"input_tokens\":1]\n\n"
                            "data: {\"type\":\"response.failed\"\n\n"
                            "data: {\"type\":\"response.completed\","
                            "\"response\":{\"usage\":{\"input_tokens\":2,"
                            "\"output_tokens\":3}}}\n\n"),
              "in 2 out 3 complete");
}

// Found by fuzzing: it was lost if it came in the same piece.
TEST(Usage, WhatFollowsADocumentChangesNothing) {
    for_each_cut(
        R"({"error":{}}} {"usage":{"input_tokens":1}})",
        [](auto read) { EXPECT_EQ(usage_of(read), "complete error"); });
}

// A caller may have a hand in it: what came by then was paid for.
TEST(Usage, AnErrorAmidAnAnswer) {
    const std::string chunk = R"(data: {"choices":[{}],"model":"m"})"
                              "\n\n";
    const std::string other = "data: {\"choices\":[{}]}\n\n";
    const std::string begun =
        R"(data: {"type":"response.created","response":{"model":"m"}})"
        "\n\n";
    const std::string error =
        "event: error\ndata: {\"error\":{\"message\":\"no\"}}\n\n";
    const std::string failed =
        "data: "
        "{\"type\":\"response.failed\",\"response\":{\"usage\":null}}\n\n";
    const std::string done = "data: [DONE]\n\n";
    const std::string many = other + chunk + chunk + chunk + chunk;
    const std::string figures = R"(data: {"usage":{"prompt_tokens":1,)"
                                R"("completion_tokens":2}})"
                                "\n\n";
    for (const auto &[body, usage] :
         std::vector<std::pair<std::string, std::string>>{
             {error, "error"},
             {other + other + other + other + error, "error"},
             {chunk + chunk + chunk + chunk + error, "of m error"},
             {many + error, "of m error broken-off"},
             {many + error + done, "of m complete error broken-off"},
             {many + error + figures + done,
              "in 1 out 2 of m complete error broken-off"},
             {begun + error, "of m error"},
             {many + failed, "of m complete error"},
             {begun + failed, "of m complete error"},
             {begun + error + failed, "of m complete error"},
             {failed, "complete error"},
         }) {
        for_each_cut(body, [&](auto read) {
            EXPECT_EQ(usage_of(read), usage) << body;
        });
    }
}

// As Groq has it.
TEST(Usage, AnErrorWithTheAnswerInIt) {
    const std::string with = R"({"error":{"code":"json_validate_failed",)"
                             R"("failed_generation":)";
    for (std::string text : {R"("{\"a\":")", R"("")"}) {
        for_each_cut(with + text + "}}", [](auto read) {
            EXPECT_EQ(usage_of(read), "complete error broken-off");
        });
        EXPECT_EQ(usage_of_body("data: " + with + text + "}}\n\n"),
                  "error broken-off");
    }
    EXPECT_EQ(usage_of_body(with + "null}}"), "complete error");
    EXPECT_EQ(usage_of_body(R"({"error":{},"failed_generation":"x"})"),
              "complete error");
}

// What it costs is yet to come.
TEST(Usage, OfAnswersThatAreFetchedLater) {
    for (auto body : {
             R"({"id":"msgbatch_1","type":"message_batch",)"
             R"("processing_status":"in_progress"})",
             R"({"id":"b","object":"batch","status":"validating"})",
             R"({"status":"QUEUED","object":"batch","id":"b"})",
             R"({"name":"batches/1","metadata":{"state":"x"}})",
             R"({"name":"models/veo-3/operations/1"})",
             R"({"request_id":"0e8f"})",
         }) {
        for_each_cut(
            body, [&](auto read) { EXPECT_EQ(usage_of(read), "") << body; });
    }
    EXPECT_EQ(
        usage_of_body(R"({"object":"batch","model":"m",)"
                      R"("usage":{"input_tokens":0,"output_tokens":0}})"),
        "in 0 out 0 of m");
    for (std::string_view body : {
             R"({"type":"message_batch","processing_status":"canceling"})",
             R"({"object":"batch","status":"cancelling"})",
             R"({"status":"CANCELLATION_REQUESTED","object":"batch"})",
             R"({"status":"cancelling","object":"batch","model":"m",)"
             R"("usage":{"input_tokens":9,"output_tokens":9}})",
             R"({"object":"response","status":"cancelled","model":"m",)"
             R"("usage":null})",
             R"({"name":"files/1","object":"file","x":{"request_id":"1"}})",
             R"({"object":"list","data":[{"object":"batch"}]})",
             R"({"type":"x","request_id":"1"})",
         }) {
        bool is_called_off = body.find("ANCEL") != body.npos ||
                             body.find("cancel") != body.npos;
        EXPECT_EQ(usage_of_body(body),
                  is_called_off ? "complete no-turn" : "complete")
            << body;
    }
    EXPECT_EQ(usage_of_body(R"({"type":"error","error":{},)"
                            R"("request_id":"1"})"),
              "complete error");
}

TEST(Usage, DeepNestingIsPassedOver) {
    std::string deep(2'000'000, '[');
    deep += std::string(2'000'000, ']');
    EXPECT_EQ(usage_of_body(R"({"output":)" + deep +
                            R"(,"usage":{"input_tokens":1}})"),
              "in 1 complete");
}

TEST(Usage, OfOtherEndpoints) {
    EXPECT_EQ(usage_of_body(R"({"object":"list","model":"e","data":[{)"
                            R"("embedding":[0.1,-2e-3]}],"usage":{)"
                            R"("prompt_tokens":8,"total_tokens":8}})"),
              "in 8 of e complete");
    EXPECT_EQ(usage_of_body(R"({"model":"m","usage":{"input_tokens":9,)"
                            R"("input_token_details":{"cached_tokens":4},)"
                            R"("output_tokens":5,"output_token_details":{)"
                            R"("reasoning_tokens":2}}})"),
              "in 9 cached 4 out 5 reasoning 2 of m complete");
}

// Nothing was made of those, and nothing is charged.
TEST(Usage, CountsOfTokens) {
    for (auto body :
         {R"({"input_tokens":14})",
          R"({"object":"response.input_tokens","input_tokens":11})",
          R"({"totalTokens":31,"totalBillableCharacters":96})"}) {
        EXPECT_EQ(usage_of_body(body), "complete no-turn") << body;
    }
    EXPECT_EQ(usage_of_body(R"({"input_tokens":1,"usage":{"input_tokens":2,)"
                            R"("output_tokens":3}})"),
              "in 2 out 3 complete");
}

// Of xAI, and of servers that translate: what the total has more is output.
TEST(Usage, ReasoningBesideTheCompletion) {
    EXPECT_EQ(
        usage_of_body(R"({"model":"grok","usage":{"prompt_tokens":10120,)"
                      R"("completion_tokens":1499,"total_tokens":14428,)"
                      R"("completion_tokens_details":{)"
                      R"("reasoning_tokens":2809}}})"),
        "in 10120 out 4308 reasoning 2809 of grok complete");
    EXPECT_EQ(usage_of_body(R"({"usage":{"prompt_tokens":21,)"
                            R"("completion_tokens":0,"total_tokens":81}})"),
              "in 21 out 60 complete");
    for (auto total : {"30", "29", "0", "null", "\"40\""}) {
        EXPECT_EQ(usage_of_body(R"({"usage":{"prompt_tokens":20,)"
                                R"("completion_tokens":10,"total_tokens":)" +
                                std::string{total} + "}}"),
                  "in 20 out 10 complete")
            << total;
    }
}

// LiteLLM's chats tell what a cache held as Anthropic does, and as OpenAI:
// its prompt has it already.
TEST(Usage, ACacheInThePrompt) {
    EXPECT_EQ(
        usage_of_body(R"({"usage":{"prompt_tokens":2000,)"
                      R"("completion_tokens":10,"total_tokens":2010,)"
                      R"("prompt_tokens_details":{"cached_tokens":1900},)"
                      R"("cache_creation_input_tokens":7,)"
                      R"("cache_read_input_tokens":1900}})"),
        "in 2000 cached 1900 written 7 out 10 complete");
}

// The last chunk of a Groq stream that was not asked for usage.
TEST(Usage, OfGroq) {
    EXPECT_EQ(usage_of_body("data: {\"model\":\"llama\",\"choices\":[{}],"
                            "\"x_groq\":{\"id\":\"req_1\",\"usage\":{"
                            "\"prompt_tokens\":23,\"completion_tokens\":19,"
                            "\"total_tokens\":42}}}\n\ndata: [DONE]\n\n"),
              "in 23 out 19 of llama complete");
}

}  // namespace
}  // namespace keystile
