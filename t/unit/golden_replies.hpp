// Replies of providers as they are on the wire, with what they cost.

#pragma once

#include <string>
#include <vector>

namespace keystile {

struct GoldenReply {
    std::string name;
    std::string body;
    std::string usage;  // as text_of(Usage) writes it
};

// "\n" ends lines; no body has any other.
inline const std::vector<GoldenReply> &golden_replies() {
    static const std::vector<GoldenReply> replies{
        {"responses, events",
         R"(event: response.created
data: {"type":"response.created","response":{"id":"resp_1","object":"response","status":"in_progress","model":"gpt-5.1","usage":null},"sequence_number":0}

event: response.output_text.delta
data: {"type":"response.output_text.delta","delta":"{\"usage\":{\"input_tokens\":1}}","sequence_number":1}

event: response.output_item.done
data: {"type":"response.output_item.done","item":{"type":"message","usage":{"input_tokens":9}},"usage":{"input_tokens":8}}

event: response.completed
data: {"type":"response.completed","response":{"id":"resp_1","status":"completed","error":null,"model":"gpt-5.1-2026","output":[{"type":"message","content":[{"text":"}]\" \\ \u20ac","usage":{"input_tokens":5}}]}],"usage":{"input_tokens":1200,"input_tokens_details":{"cached_tokens":1024,"cache_write_tokens":16},"output_tokens":340,"output_tokens_details":{"reasoning_tokens":300},"total_tokens":1540}},"sequence_number":2}

)",
         "in 1200 cached 1024 written 16 out 340 reasoning 300 of "
         "gpt-5.1-2026 complete"},
        {"responses, incomplete",
         R"(data: {"type":"response.incomplete","response":{"model":"m","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":3,"output_tokens":4}}}

)",
         "in 3 out 4 of m complete"},
        {"responses, failed",
         R"(data: {"type":"response.failed","response":{"model":"m","error":{"code":"server_error"},"usage":null}}

)",
         "of m complete error"},
        {"responses, no usage",
         R"(data: {"type":"response.completed","response":{"model":"m"}}

)",
         "of m complete"},
        {"responses, the type last",
         R"(data: {"response":{"usage":{"output_tokens":4,"input_tokens":3},"model":"m"},"type":"response.completed"}

)",
         "in 3 out 4 of m complete"},
        {"responses, aborted",
         R"(data: {"type":"response.created","response":{"model":"m"}}

data: {"type":"response.output_text.delta","delta":"a"}

)",
         "of m"},
        {"responses, one document",
         R"({"id":"resp_1","object":"response","status":"completed","error":null,"model":"gpt-5.1","output":[{"usage":{"input_tokens":1}}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":0},"output_tokens":20,"output_tokens_details":{"reasoning_tokens":7}}}
)",
         "in 10 cached 0 out 20 reasoning 7 of gpt-5.1 complete"},
        {"responses, in the background",
         R"({"object":"response","status":"queued","model":"m","usage":null})",
         "of m"},
        {"chat, events",
         R"(data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":""}}],"usage":null}

: keep-alive

data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o","choices":[{"index":0,"delta":{"content":"\"usage\":{"}}],"usage":null}

data: {"id":"c","object":"chat.completion.chunk","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":6,"audio_tokens":0}}}

data: [DONE]

)",
         "in 19 cached 4 out 10 reasoning 6 of gpt-4o complete"},
        {"chat, usage in each chunk",
         R"(data:{"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":1}}

data:{"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2}}

data:{"model":"m","choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}

data:[DONE]

)",
         "in 5 out 3 of m complete"},
        {"chat, usage not asked for",
         R"(data: {"model":"m","choices":[{"delta":{"content":"a"}}]}

data: [DONE]

)",
         "of m complete"},
        {"chat, one document",
         R"({"object":"chat.completion","model":"gpt-4o","choices":[{"message":{"content":"x","usage":{"prompt_tokens":1}}}],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21}})",
         "in 9 out 12 of gpt-4o complete"},
        {"messages, events",
         R"(event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-4-5","content":[],"usage":{"input_tokens":25,"cache_creation_input_tokens":100,"cache_read_input_tokens":1000,"output_tokens":1}}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hi"},"usage":{"output_tokens":999}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":15}}

event: message_delta
data: {"type":"message_delta","delta":{},"usage":{"input_tokens":null,"output_tokens":18}}

event: message_stop
data: {"type":"message_stop"}

)",
         "in 1125 cached 1000 written 100 out 18 of claude-opus-4-5 complete"},
        {"messages, aborted",
         R"(data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":25,"output_tokens":1}}}

data: {"type":"content_block_delta","delta":{"text":"Hi"}}

)",
         "in 25 out 1 of m"},
        {"messages, an error amid them",
         R"(data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":25,"output_tokens":1}}}

data: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}

)",
         "in 25 out 1 of m error"},
        {"messages, one document",
         R"({"id":"msg_1","type":"message","model":"claude","content":[{"type":"text","text":"x"}],"usage":{"input_tokens":3,"cache_read_input_tokens":0,"output_tokens":5}})",
         "in 3 cached 0 out 5 of claude complete"},
        {"gemini, events",
         R"(data: {"candidates":[{"content":{"parts":[{"text":"Hi"}]}}],"usageMetadata":{"promptTokenCount":7,"totalTokenCount":7},"modelVersion":"gemini-3-pro"}

data: {"candidates":[{"content":{"parts":[{"text":"!"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":7,"cachedContentTokenCount":2,"candidatesTokenCount":11,"thoughtsTokenCount":40,"toolUsePromptTokenCount":5,"totalTokenCount":63},"modelVersion":"gemini-3-pro"}

)",
         "in 12 cached 2 out 51 reasoning 40 of gemini-3-pro complete"},
        {"gemini, an array",
         R"([{"usageMetadata":{"promptTokenCount":7},"modelVersion":"g"}
,
{"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3},"modelVersion":"g"}
]
)",
         "in 7 out 3 of g complete"},
        {"gemini, wrapped",
         R"(data: {"response":{"usageMetadata":{"promptTokenCount":7,"candidatesTokenCount":3},"modelVersion":"g"}}

)",
         "in 7 out 3 of g complete"},
        {"an error",
         R"({"error":{"message":"no","type":"invalid_request_error"}})",
         "complete error"},
        {"no JSON", "<html>\n{\"usage\":{\"input_tokens\":1}}\n</html>\n", ""},
        {"nothing", "", ""},
    };
    return replies;
}

}  // namespace keystile
