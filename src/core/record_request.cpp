#include "record_request.hpp"

#include <array>

#include "json_scan.hpp"

namespace keystile {
namespace {

enum Field : std::uint8_t { kNone, kModel, kStream, kSession, kThread };

constexpr std::array<JsonMember, 2> kMetadataMembers{{
    {"session_id", kSession},
    {"thread_id", kThread},
}};
constexpr JsonShape kMetadata{kMetadataMembers};

constexpr std::array<JsonMember, 3> kMembers{{
    {"model", kModel},
    {"stream", kStream},
    {"client_metadata", kNone, &kMetadata},
}};
constexpr JsonShape kShape{kMembers};

constexpr std::string_view kGenerate = "generateContent";
constexpr std::string_view kStreamGenerate = "streamGenerateContent";

struct Action {
    std::string_view model;
    std::string_view name;
};

// Of the last segment of a path; a client may escape the colon.
Action split_action(std::string_view path) noexcept {
    path.remove_prefix(path.rfind('/') + 1);
    for (std::string_view colon : {":", "%3A", "%3a"}) {
        auto at = path.rfind(colon);
        if (at != std::string_view::npos) {
            return {path.substr(0, at), path.substr(at + colon.size())};
        }
    }
    return {};
}

}  // namespace

ReplyForm form_of_path(std::string_view path) noexcept {
    path = path.substr(0, path.find('?'));
    while (path.ends_with('/')) {
        path.remove_suffix(1);
    }
    if (path.ends_with("/responses") || path.ends_with("/responses/compact")) {
        return ReplyForm::responses;
    }
    if (path.ends_with("/chat/completions")) {
        return ReplyForm::chat;
    }
    if (path.ends_with("/messages")) {
        return ReplyForm::messages;
    }
    auto action = split_action(path).name;
    return action == kGenerate || action == kStreamGenerate
               ? ReplyForm::gemini
               : ReplyForm::unknown;
}

RecordedRequest read_request_path(std::string_view path) noexcept {
    RecordedRequest request;
    if (form_of_path(path) == ReplyForm::gemini) {
        auto action = split_action(path.substr(0, path.find('?')));
        request.model.set(action.model);
        request.streams = action.name == kStreamGenerate;
    }
    return request;
}

void read_request(std::string_view body, RecordedRequest &request) noexcept {
    JsonScan scan{kShape};
    while (auto value = scan.next(body)) {
        switch (value->field) {
        case kModel:
            request.model.set(value->text);
            break;
        case kStream:
            request.streams = value->kind == JsonKind::yes;
            break;
        case kSession:
            request.session.set(value->text);
            break;
        case kThread:
            request.thread.set(value->text);
            break;
        default:
            break;
        }
    }
}

}  // namespace keystile
