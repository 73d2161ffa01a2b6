# Reads a conversation back:
#
#     jq -rs --arg id SESSION -f conversation.jq turns.jsonl
#
# SESSION is a session, a thread or a request id. Over HTTP, each request has
# the whole conversation so far: only what is new in it is shown.

# What a part of a message says, whatever the interface.
def text:
    if type == "string" then .
    elif type == "array" then map(text) | map(select(. != "")) | join("\n")
    elif type != "object" then ""
    elif .type == "reasoning" or .type == "thinking" or .thought then ""
    elif .functionCall then .functionCall | text
    elif .functionResponse then .functionResponse.response | tojson
    elif .name and (.arguments // .input // .args) then
        (.arguments // .input // .args) as $with
        | .name + "(" + ($with | if type == "string" then . else tojson end)
            + ")"
    elif .text then .text
    else [.content, .parts, .output, [.tool_calls[]?.function]] | text
    end;

def is_answer:
    .role == "assistant" or .role == "model"
    or .type == "function_call" or .type == "custom_tool_call"
    or .type == "reasoning";

def asked:
    .request
    | if type == "object" then .input // .messages // .contents else . end
    | if type == "string" then [{role: "user", content: .}] else . // [] end
    | (to_entries | map(select(.value | is_answer) | .key) | max // -1) as $n
    | .[$n + 1:];

def answered:
    .response
    | if type != "object" then []
      elif .output then .output
      elif .choices then [.choices[].message]
      elif .candidates then [.candidates[].content]
      else [{role: "assistant", content}]
      end;

def said($time; $otherwise):
    (.role // $otherwise) as $who
    | text
    | select(. != "")
    | "\($time) \($who): \(.)";

map(select([.session_id, .thread_id, .request_id] | index($id)))
| sort_by(.time)[]
| .time as $time
| (asked[] | said($time; "tool")),
  (answered[] | said($time; "assistant")),
  (.dropped // empty | "\($time) [\(.)]")
