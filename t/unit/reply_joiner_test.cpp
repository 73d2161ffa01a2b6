#include "reply_joiner.hpp"

#include <gtest/gtest.h>

#include <initializer_list>
#include <string>

#include "heap_text.hpp"

namespace keystile {
namespace {

struct Joined {
    std::string text;
    bool whole;
};

Joined join(std::initializer_list<const char *> events, bool ended = true,
            bool done = false) {
    ReplyJoiner joiner;
    for (const auto *event : events) {
        joiner.take(event);
    }
    if (done) {
        joiner.take_done();
    }
    bool whole = joiner.is_whole(ended) && !joiner.has_failed();
    HeapText text;
    if (!joiner.put(text, !whole)) {
        return {"none", whole};
    }
    return {std::string{text.view()}, whole};
}

TEST(ReplyJoiner, KnowsNothingOfOthers) {
    EXPECT_EQ(join({}).text, "none");
    EXPECT_EQ(join({R"({"type":"other"})", "[]", "1"}).text, "none");
    EXPECT_FALSE(join({R"({"type":"other"})"}).whole);
}

TEST(ReplyJoiner, TakesTheLastResponse) {
    for (const char *end : {"completed", "incomplete", "failed"}) {
        auto last = std::string{R"({"type":"response.)"} + end +
                    R"(","response":{"id":"r","output":[{"a":1}]}})";
        auto joined =
            join({R"({"type":"response.created","response":{"id":"old"}})",
                  R"({"type":"response.output_item.done","item":{"b":1}})",
                  last.c_str()},
                 false);
        EXPECT_TRUE(joined.whole) << end;
        EXPECT_EQ(joined.text, R"({"id":"r","output":[{"a":1}]})") << end;
    }
}

TEST(ReplyJoiner, GivesAnEmptyResponseItsItems) {
    for (const char *output : {R"(,"output":[])", ""}) {
        auto last =
            std::string{R"({"type":"response.completed","response":{"id":1)"} +
            output + "}}";
        auto joined =
            join({R"({"type":"response.created","response":{}})",
                  R"({"type":"response.output_item.added","output_index":7,)"
                  R"("item":{"n":7}})",
                  R"({"type":"response.output_item.done","output_index":2,)"
                  R"("item":{"n":2}})",
                  R"({"type":"response.output_item.done","output_index":0,)"
                  R"("item":{"n":0}})",
                  R"({"type":"codex.rate_limits","x":{}})", last.c_str()});
        EXPECT_EQ(joined.text,
                  R"({"id":1,"output":[{"n":0},{"n":2},{"n":7}]})");
    }
}

TEST(ReplyJoiner, HasWhatCameOfAResponse) {
    auto joined =
        join({R"({"type":"response.created","response":{"id":"r"}})",
              R"({"type":"response.output_item.done","output_index":0,)"
              R"("item":{"type":"reasoning"}})",
              R"({"type":"response.output_text.delta","output_index":0,)"
              R"("content_index":0,"delta":"late"})",
              R"({"type":"response.output_item.added","output_index":1,)"
              R"("item":{"type":"message","content":[]}})",
              R"({"type":"response.output_text.delta","output_index":1,)"
              R"("content_index":0,"delta":"Hel"})",
              R"({"type":"response.output_text.delta","output_index":1,)"
              R"("content_index":0,"delta":"lo"})",
              R"({"type":"response.function_call_arguments.delta",)"
              R"("output_index":2,"delta":"{\"a\""})"});
    EXPECT_FALSE(joined.whole);
    EXPECT_EQ(joined.text,
              R"({"partial":true,"id":"r","output":[{"type":"reasoning"},)"
              R"({"type":"message","content":[{"type":"output_text",)"
              R"("text":"Hello"}]},{"arguments":"{\"a\""}]})");
}

TEST(ReplyJoiner, JoinsChunks) {
    auto joined =
        join({R"({"id":"c","object":"chat.completion.chunk","choices":[],)"
              R"("prompt_filter_results":[1]})",
              R"({"id":"c","choices":[{"index":0,"delta":{"role":"assistant",)"
              R"("content":"","refusal":null},"logprobs":null,)"
              R"("finish_reason":null}],"usage":null})",
              R"({"choices":[{"index":1,"delta":{"content":"B"}},)"
              R"({"index":0,"delta":{"content":"He"},)"
              R"("logprobs":{"content":[1]}}]})",
              R"({"choices":[{"index":0,"delta":{"content":"y",)"
              R"("reasoning_content":"hm"},"logprobs":{"content":[2]},)"
              R"("finish_reason":"stop"}]})",
              R"({"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]})",
              R"({"choices":[],"usage":{"prompt_tokens":1}})"},
             false);
    EXPECT_TRUE(joined.whole);
    EXPECT_EQ(joined.text,
              R"({"id":"c","object":"chat.completion",)"
              R"("prompt_filter_results":[1],"choices":[{"index":0,)"
              R"("message":{"role":"assistant","content":"Hey",)"
              R"("refusal":null,"reasoning_content":"hm"},)"
              R"("logprobs":{"content":[1,2]},"finish_reason":"stop"},)"
              R"({"index":1,"message":{"content":"B"},)"
              R"("finish_reason":"stop"}],"usage":{"prompt_tokens":1}})");
}

TEST(ReplyJoiner, JoinsToolCalls) {
    auto joined = join(
        {R"({"choices":[{"index":0,"delta":{"content":null,"tool_calls":[)"
         R"({"index":0,"id":"t0","type":"function","function":)"
         R"({"name":"ls","arguments":""}}]}}]})",
         R"({"choices":[{"index":0,"delta":{"tool_calls":[)"
         R"({"index":0,"function":{"arguments":"{\"a"}}]}}]})",
         R"({"choices":[{"index":0,"delta":{"tool_calls":[)"
         R"({"index":1,"id":"t1","type":"function","function":)"
         R"({"name":"cat","arguments":"{}"}},)"
         R"({"index":0,"function":{"arguments":"\":1}"}}]}}]})",
         R"({"choices":[{"index":0,"delta":{},)"
         R"("finish_reason":"tool_calls"}]})"});
    EXPECT_EQ(joined.text,
              R"({"choices":[{"index":0,"message":{"content":null,)"
              R"("tool_calls":[{"index":0,"id":"t0","type":"function",)"
              R"("function":{"name":"ls","arguments":"{\"a\":1}"}},)"
              R"({"index":1,"id":"t1","type":"function","function":)"
              R"({"name":"cat","arguments":"{}"}}]},)"
              R"("finish_reason":"tool_calls"}]})");
    EXPECT_TRUE(joined.whole);
}

// As Perplexity has it: all so far in "message", and what is more in "delta".
TEST(ReplyJoiner, JoinsChunksThatRepeatTheMessage) {
    auto chunk = [](const std::string &so_far, const std::string &more,
                    const char *reason) {
        return R"({"object":"chat.completion.chunk","choices":[{"index":0,)"
               R"("finish_reason":)" +
               std::string{reason} +
               R"(,"message":{"role":"assistant","content":")" + so_far +
               R"("},"delta":{"role":"assistant","content":")" + more +
               R"("}}]})";
    };
    auto first = chunk("There", "There", "null");
    auto second = chunk("There is", " is", "null");
    auto last = chunk("There is.", ".", "\"stop\"");
    auto joined =
        join({first.c_str(), second.c_str(), last.c_str()}, true, true);
    EXPECT_TRUE(joined.whole);
    EXPECT_EQ(
        joined.text,
        R"({"object":"chat.completion","choices":[{"index":0,"message":{)"
        R"("role":"assistant","content":"There is."},)"
        R"("finish_reason":"stop"}]})");
}

TEST(ReplyJoiner, WantsAnEndOfChunks) {
    const char *chunk = R"({"choices":[{"index":0,"delta":{"content":"a"}}]})";
    EXPECT_FALSE(join({chunk}).whole);
    EXPECT_TRUE(join({chunk}, true, true).whole);
}

TEST(ReplyJoiner, JoinsBlocks) {
    auto joined =
        join({R"({"type":"message_start","message":{"id":"m","content":[],)"
              R"("stop_reason":null,"usage":{"input_tokens":5,)"
              R"("output_tokens":1}}})",
              R"({"type":"content_block_start","index":0,"content_block":)"
              R"({"type":"thinking","thinking":"","signature":""}})",
              R"({"type":"ping"})",
              R"({"type":"content_block_delta","index":0,"delta":)"
              R"({"type":"thinking_delta","thinking":"hm"}})",
              R"({"type":"content_block_delta","index":0,"delta":)"
              R"({"type":"signature_delta","signature":"S"}})",
              R"({"type":"content_block_start","index":1,"content_block":)"
              R"({"type":"text","text":"a"}})",
              R"({"type":"content_block_delta","index":1,"delta":)"
              R"({"type":"text_delta","text":"b"}})",
              R"({"type":"content_block_delta","index":1,"delta":)"
              R"({"type":"citations_delta","citation":{"c":1}}})",
              R"({"type":"content_block_start","index":2,"content_block":)"
              R"({"type":"tool_use","name":"ls","input":{}}})",
              R"({"type":"content_block_delta","index":2,"delta":)"
              R"({"type":"input_json_delta","partial_json":""}})",
              R"({"type":"content_block_delta","index":2,"delta":)"
              R"({"type":"input_json_delta","partial_json":"{\"x\""}})",
              R"({"type":"content_block_delta","index":2,"delta":)"
              R"({"type":"input_json_delta","partial_json":":[1]}"}})",
              R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},)"
              R"("usage":{"output_tokens":9}})",
              R"({"type":"message_stop"})"});
    EXPECT_TRUE(joined.whole);
    EXPECT_EQ(joined.text,
              R"({"id":"m","content":[{"type":"thinking","thinking":"hm",)"
              R"("signature":"S"},{"type":"text","text":"ab",)"
              R"("citations":[{"c":1}]},{"type":"tool_use","name":"ls",)"
              R"("input":{"x":[1]}}],"stop_reason":"tool_use",)"
              R"("usage":{"input_tokens":5,"output_tokens":9}})");
}

TEST(ReplyJoiner, HasWhatCameOfBlocks) {
    auto joined =
        join({R"({"type":"message_start","message":{"content":[]}})",
              R"({"type":"content_block_start","index":0,"content_block":)"
              R"({"type":"tool_use","input":{}}})",
              R"({"type":"content_block_delta","index":0,"delta":)"
              R"({"type":"input_json_delta","partial_json":"{\"x\""}})",
              R"({"type":"error","error":{"type":"overloaded_error"}})"});
    EXPECT_FALSE(joined.whole);
    EXPECT_EQ(joined.text,
              R"({"partial":true,"content":[{"type":"tool_use",)"
              R"("input":"{\"x\""}],"error":{"type":"overloaded_error"}})");
}

TEST(ReplyJoiner, JoinsParts) {
    auto joined = join(
        {R"({"candidates":[{"content":{"parts":[{"text":"h","thought":true}],)"
         R"("role":"model"}}],"usageMetadata":{"promptTokenCount":1}})",
         R"({"candidates":[{"content":{"parts":[{"text":"m","thought":true},)"
         R"({"text":"A"}],"role":"model"}}]})",
         R"({"candidates":[{"content":{"parts":[{"text":"B"},)"
         R"({"functionCall":{"name":"ls"}},{"text":"C"}]},)"
         R"("finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,)"
         R"("candidatesTokenCount":2}})"},
        false);
    EXPECT_TRUE(joined.whole);
    EXPECT_EQ(joined.text, R"({"candidates":[{"index":0,"content":{"parts":[)"
                           R"({"text":"hm","thought":true},{"text":"AB"},)"
                           R"({"functionCall":{"name":"ls"}},{"text":"C"}],)"
                           R"("role":"model"},"finishReason":"STOP"}],)"
                           R"("usageMetadata":{"promptTokenCount":1,)"
                           R"("candidatesTokenCount":2}})");
    EXPECT_EQ(join({R"({"response":{"candidates":[{"content":{"parts":[]}}]},)"
                    R"("traceId":"t"})"})
                  .text,
              R"({"candidates":[{"index":0,"content":{"parts":[]}}]})");
}

TEST(ReplyJoiner, WantsAnEndOfParts) {
    const char *part = R"({"candidates":[{"content":{"parts":[]}}]})";
    EXPECT_FALSE(join({part}, false).whole);
    EXPECT_TRUE(join({part}, true).whole);
}

TEST(ReplyJoiner, TellsOfEventsThatAreNoJson) {
    const char *last = R"({"type":"response.completed","response":{}})";
    EXPECT_TRUE(join({last}).whole);
    EXPECT_FALSE(join({last, "no"}).whole);
    EXPECT_FALSE(join({last, "{} {}"}).whole);
    auto deep = std::string(300, '[') + std::string(300, ']');
    EXPECT_FALSE(join({last, deep.c_str()}).whole);
}

TEST(ReplyJoiner, BearsWhatMakesNoSense) {
    // Members of other types than they should have, and large numbers.
    EXPECT_NE(join({R"({"type":"response.output_item.done",)"
                    R"("output_index":9223372036854775807,"item":1})",
                    R"({"type":"response.output_item.done",)"
                    R"("output_index":-9223372036854775808,"item":{}})",
                    R"({"type":"response.output_text.delta","delta":5})",
                    R"({"type":"response.completed","response":7})"})
                  .text,
              "none");
    EXPECT_NE(join({R"({"choices":7})",
                    R"({"choices":[7,{"delta":3,"logprobs":4},)"
                    R"({"delta":{"tool_calls":[5,{"function":6}]}}]})"})
                  .text,
              "none");
    EXPECT_NE(join({R"({"type":"message_start","message":3})",
                    R"({"type":"content_block_start","content_block":4})",
                    R"({"type":"content_block_delta","delta":5})",
                    R"({"type":"message_delta","delta":6,"usage":7})"})
                  .text,
              "none");
    EXPECT_NE(join({R"({"candidates":3})",
                    R"({"candidates":[4,{"content":5},)"
                    R"({"content":{"parts":[6,{"text":7}]}}]})"})
                  .text,
              "none");
}

}  // namespace
}  // namespace keystile
