// What a request says of its turn: in its path, and in its JSON.

#pragma once

#include <string_view>

#include "model_name.hpp"
#include "reply_joiner.hpp"

namespace keystile {

struct RecordedRequest {
    ModelName model;
    bool streams = false;
    // Of Codex, in its "client_metadata".
    ModelName session;
    ModelName thread;
};

// The interface that a path belongs to, from its last segments.
ReplyForm form_of_path(std::string_view path) noexcept;

// Of Gemini's, whose paths have what others say in the body:
// "/v1beta/models/gemini-2.5-pro:streamGenerateContent".
RecordedRequest read_request_path(std::string_view path) noexcept;

// Adds what the body says. It may be cut off.
void read_request(std::string_view body, RecordedRequest &request) noexcept;

}  // namespace keystile
