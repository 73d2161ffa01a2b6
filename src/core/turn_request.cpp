#include "turn_request.hpp"

#include <array>

namespace keystile {
namespace {

enum Field : std::uint8_t {
    kNone,
    kType,
    kModel,
    kGenerate,
    kOfResponses,
    kOthers
};

constexpr auto kNames = JsonShape::Names::any_case;

// What may name models to be asked beside the one, or in its place.
constexpr std::array<JsonMember, 4> kChoiceMembers{{
    {"model", kOthers},
    {"models", kOthers},
    {"analysis_models", kOthers},
    {"allowed_models", kOthers},
}};
constexpr JsonShape kChoice{kChoiceMembers, kNames};

// A tool may ask a model of its own: Anthropic's advisor, OpenAI's image
// generation; OpenRouter's have it in "parameters", where a function has the
// schema of its arguments, whose names are deeper. A namespace of OpenAI's has
// tools in it.
extern const JsonShape kTool;
constexpr std::array<JsonMember, 3> kToolMembers{{
    {"model", kOthers},
    {"parameters", kNone, &kChoice},
    {"tools", kNone, nullptr, &kTool},
}};
constexpr JsonShape kTool{kToolMembers, kNames};

// Of the Responses interface: tools that come later. All else is content.
constexpr std::array<JsonMember, 1> kItemMembers{{
    {"tools", kNone, nullptr, &kTool},
}};
constexpr JsonShape kItem{kItemMembers, kNames};

// Vercel's.
constexpr std::array<JsonMember, 1> kGatewayMembers{{{"models", kOthers}}};
constexpr JsonShape kGateway{kGatewayMembers, kNames};
constexpr std::array<JsonMember, 1> kOptionMembers{
    {{"gateway", kNone, &kGateway}}};
constexpr JsonShape kOptions{kOptionMembers, kNames};

// Of a turn on a socket, the Realtime interface has all else in "response".
constexpr std::array<JsonMember, 10> kMembers{{
    {"type", kType},
    {"model", kModel},
    {"generate", kGenerate},
    {"input", kOfResponses, nullptr, &kItem},
    {"prompt", kOfResponses},
    {"tools", kNone, nullptr, &kTool},
    {"fallbacks", kOthers},  // Anthropic: models to ask when that one fails
    {"models", kOthers},     // OpenRouter: the same
    {"plugins", kNone, nullptr, &kChoice},  // OpenRouter
    {"providerOptions", kNone, &kOptions},
}};

// Some servers take "Model" for "model", so that it counts as another.
constexpr JsonShape kShape{kMembers, kNames};

}  // namespace

TurnRequestReader::TurnRequestReader() noexcept : scan_{kShape} {}

void TurnRequestReader::take(std::string_view piece) noexcept {
    if (is_strict_) {
        check_.take(piece);
    }
    while (auto value = scan_.next(piece)) {
        take_value(*value);
    }
}

void TurnRequestReader::take_to_model(std::string_view piece) noexcept {
    while (request_.naming == TurnRequest::Naming::missing) {
        auto value = scan_.next(piece);
        if (!value) {
            return;
        }
        take_value(*value);
    }
}

TurnRequest TurnRequestReader::end_text() noexcept {
    auto request = request_;
    request.prewarm = request.prewarm && !generates_;
    if (!is_json()) {
        request.naming = TurnRequest::Naming::unreadable;
        request.model = {};
    } else if (is_strict_ && names_others_) {
        request.naming = TurnRequest::Naming::doubled;
        request.model = {};
    }
    scan_.start();
    check_.start();
    request_ = {};
    generates_ = false;
    names_others_ = false;
    return request;
}

bool TurnRequestReader::is_json() const noexcept {
    return scan_.is_closed() && !scan_.is_malformed() &&
           (!is_strict_ || check_.is_valid());
}

// Members may be doubled, and which of them counts differs between servers:
// what costs more is believed.
void TurnRequestReader::take_value(const JsonValue &value) noexcept {
    switch (value.field) {
    case kType:
        request_.creates = request_.creates || value.text == "response.create";
        break;
    case kModel:
        take_model(value);
        break;
    case kOfResponses:
        request_.names_by_itself = true;
        break;
    case kOthers:
        names_others_ = names_others_ || value.kind != JsonKind::null;
        break;
    default:
        if (value.kind == JsonKind::no) {
            request_.prewarm = true;
        } else {
            generates_ = true;
        }
        break;
    }
}

void TurnRequestReader::take_model(const JsonValue &value) noexcept {
    using Naming = TurnRequest::Naming;

    if (request_.naming != Naming::missing) {
        request_.naming = Naming::doubled;
        request_.model = {};
        return;
    }
    bool is_name =
        value.kind == JsonKind::text && request_.model.set(value.text);
    request_.naming = is_name ? Naming::named : Naming::unreadable;
}

}  // namespace keystile
