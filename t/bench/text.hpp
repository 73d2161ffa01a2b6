// What Codex and its provider say, about as large as it is in life.

#pragma once

#include <array>
#include <cstdio>
#include <string>
#include <string_view>

namespace bench {

using std::string;
using std::string_view;

// What each text ends with, by which its reader knows that it has all of it.
inline constexpr string_view kHeadEnd = "\r\n\r\n";
inline constexpr string_view kTextEnd = "\"end\"}";
inline constexpr string_view kEventEnd = "\n\n\r\n";  // with that of its chunk
inline constexpr string_view kStreamEnd = "\r\n0\r\n\r\n";

enum class Kind { request, event, message };

// With the framing of its kind.
struct Text {
    string create;  // what asks for a turn
    string answer;
    string created;
    string delta;
    string completed;
};

inline string chunk(string_view bytes) {
    std::array<char, 32> size;
    std::snprintf(size.data(), size.size(), "%zx\r\n", bytes.size());
    return size.data() + string{bytes} + "\r\n";
}

inline string event(string_view type, string_view data) {
    return chunk("event: " + string{type} + "\ndata: " + string{data} +
                 "\n\n");
}

// A text frame; a client's mask is zero, so that its text can be read.
inline string frame(string_view text, bool masked) {
    string mask = masked ? string(4, '\0') : string{};
    string head{'\x81'};
    auto bit = masked ? 0x80U : 0U;
    if (text.size() < 126) {
        head += static_cast<char>(bit | text.size());
    } else {
        head += static_cast<char>(bit | 126U);
        head += static_cast<char>(text.size() >> 8);
        head += static_cast<char>(text.size() & 0xFF);
    }
    return head + mask + string{text};
}

inline Text make_text(Kind kind) {
    auto part = [](std::size_t size, char c) { return string(size, c); };
    string response =
        "\"response\":{\"id\":\"resp_0199d1\",\"object\":\"response\","
        "\"created_at\":1767225600,\"status\":\"completed\",\"error\":null,"
        "\"instructions\":\"" +
        part(6000, 'i') + "\",\"model\":\"gpt-5.1-codex\",\"output\":[" +
        "{\"type\":\"message\",\"content\":[{\"text\":\"" + part(3000, 'o') +
        "\"}]}],\"tools\":[{\"type\":\"function\",\"name\":\"shell\"}],";
    string usage =
        "\"usage\":{\"input_tokens\":12000,\"input_tokens_details\":"
        "{\"cached_tokens\":10000},\"output_tokens\":500,"
        "\"output_tokens_details\":{\"reasoning_tokens\":100},"
        "\"total_tokens\":12500}}";
    string end = ",\"end\":\"end\"}";

    Text text;
    text.create =
        "{\"type\":\"response.create\",\"model\":\"gpt-5.1-codex\","
        "\"instructions\":\"" +
        part(2000, 'i') + "\",\"input\":[{\"role\":\"user\",\"content\":\"" +
        part(2000, 'u') + "\"}],\"stream\":true" + end;
    text.answer = "{\"id\":\"resp_0199d1\",\"model\":\"gpt-5.1-codex\"," +
                  string{"\"output\":[{\"text\":\""} + part(600, 'o') +
                  "\"}]," + usage.substr(0, usage.size() - 1) + end;
    text.created = "{\"type\":\"response.created\",\"sequence_number\":0," +
                   response + "\"usage\":null}" + end;
    text.delta =
        "{\"type\":\"response.output_text.delta\",\"sequence_number\":42,"
        "\"item_id\":\"msg_0199d1aa7c3b7f0e8d5c6b4a39281706\","
        "\"output_index\":1,\"content_index\":0,\"delta\":\" token\","
        "\"logprobs\":[],\"obfuscation\":\"q7Xw2LrT\"" +
        end;
    text.completed =
        "{\"type\":\"response.completed\",\"sequence_number\":501," +
        response + usage + end;
    if (kind == Kind::event) {
        text.created = event("response.created", text.created);
        text.delta = event("response.output_text.delta", text.delta);
        text.completed = event("response.completed", text.completed);
    } else if (kind == Kind::message) {
        text.create = frame(text.create, true);
        text.created = frame(text.created, false);
        text.delta = frame(text.delta, false);
        text.completed = frame(text.completed, false);
    }
    return text;
}

// As Codex sends it.
inline string request_head(Kind kind, string_view key, int session,
                           std::size_t body) {
    string head =
        kind == Kind::message ? "GET /v1/socket" : "POST /v1/responses";
    head +=
        " HTTP/1.1\r\n"
        "authorization: Bearer " +
        string{key} +
        "\r\n"
        "originator: codex_exec\r\n"
        "user-agent: codex_exec/0.169.0 (Debian 12.0.0; x86_64) "
        "xterm-256color (codex_exec; 0.169.0)\r\n"
        "session-id: " +
        std::to_string(session) +
        "\r\n"
        "thread-id: 0199d1aa-7c3b-7f0e-8d5c-6b4a39281706\r\n"
        "x-client-request-id: 0199d1aa-7c3b-7f0e-8d5c-6b4a39281706\r\n"
        "x-codex-window-id: 0199d1aa-7c3b-7f0e-8d5c-6b4a39281706:0\r\n"
        "x-codex-turn-metadata: {\"turn_id\":\"0199d1aa\",\"git\":\"" +
        string(620, 'm') +
        "\"}\r\n"
        "x-codex-beta-features: remote_compaction_v2\r\n"
        "version: 0.169.0\r\n"
        "host: 127.0.0.1:8080\r\n";
    if (kind == Kind::message) {
        return head +
               "connection: Upgrade\r\nupgrade: websocket\r\n"
               "sec-websocket-version: 13\r\n"
               "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
               "openai-beta: responses_websockets=2026-02-06\r\n\r\n";
    }
    return head +
           "accept: text/event-stream\r\n"
           "content-type: application/json\r\n"
           "content-length: " +
           std::to_string(body) + "\r\n\r\n";
}

inline string reply_head(Kind kind, std::size_t body) {
    switch (kind) {
    case Kind::request:
        return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
               "x-request-id: req_0199d1\r\nopenai-processing-ms: 1234\r\n"
               "Content-Length: " +
               std::to_string(body) + "\r\n\r\n";
    case Kind::event:
        return "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
               "x-request-id: req_0199d1\r\nopenai-processing-ms: 1234\r\n"
               "Transfer-Encoding: chunked\r\n\r\n";
    case Kind::message:
        break;
    }
    return "HTTP/1.1 101 Switching Protocols\r\n"
           "Connection: Upgrade\r\nUpgrade: websocket\r\n"
           "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
}

}  // namespace bench
