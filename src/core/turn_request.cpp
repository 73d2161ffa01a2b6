#include "turn_request.hpp"

#include <algorithm>
#include <array>

#include "ascii.hpp"

namespace keystile {
namespace {

enum Field : std::uint8_t {
    kNone,
    kType,
    kModel,
    kGenerate,
    kOfResponses,
    kAsker,
    kOthers
};

constexpr auto kNames = JsonShape::Names::any_case;

// What may name models to be asked beside the one, or in its place; and tools
// for them.
extern const JsonShape kTool;
constexpr std::array<JsonMember, 6> kChoiceMembers{{
    {"id", kAsker},  // of a plugin
    {"model", kOthers},
    {"models", kOthers},
    {"analysis_models", kOthers},
    {"allowed_models", kOthers},
    {"tools", kNone, nullptr, &kTool},
}};
constexpr JsonShape kChoice{kChoiceMembers, kNames};

// A tool may ask a model of its own: Anthropic's advisor, OpenAI's image
// generation; OpenRouter's have it in "parameters", where a function has the
// schema of its arguments, whose names are deeper. A namespace of OpenAI's has
// tools in it.
constexpr std::array<JsonMember, 4> kToolMembers{{
    {"type", kAsker},
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

// Groq's.
constexpr std::array<JsonMember, 1> kCompoundMembers{{{"models", kOthers}}};
constexpr JsonShape kCompound{kCompoundMembers, kNames};

// Tools of OpenRouter's and a plugin, which ask models of the provider's choice
// where they name none.
constexpr std::array<std::string_view, 5> kAskers{
    "openrouter:fusion",
    "openrouter:advisor",
    "openrouter:subagent",
    "openrouter:image_generation",
    "fusion",
};

// Where OpenRouter keeps models, behind a name of theirs.
constexpr std::string_view kPreset = "@preset/";

// Of a turn on a socket, the Realtime interface has all else in "response".
constexpr std::array<JsonMember, 12> kMembers{{
    {"type", kType},
    {"model", kModel},
    {"generate", kGenerate},
    {"input", kOfResponses, nullptr, &kItem},
    {"prompt", kOfResponses},
    {"tools", kNone, nullptr, &kTool},
    {"fallbacks", kOthers},  // Anthropic: models to ask when that one fails
    {"models", kOthers},     // OpenRouter: the same
    {"preset", kOthers},     // where it keeps them
    {"plugins", kNone, nullptr, &kChoice},
    {"compound_custom", kNone, &kCompound},
    {"providerOptions", kNone, &kOptions},
}};

// Some servers take "Model" for "model", so that it counts as another.
constexpr JsonShape kShape{kMembers, kNames};

bool asks_others(std::string_view name) noexcept {
    return std::any_of(kAskers.begin(), kAskers.end(), [name](auto asker) {
        return equals_ignoring_case(name, asker);
    });
}

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
    } else if (is_strict_ && may_ask_others()) {
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

// Also if there is more to look into than can be.
bool TurnRequestReader::may_ask_others() const noexcept {
    return names_others_ || scan_.was_too_deep() ||
           request_.model.view().find(kPreset) != std::string_view::npos;
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
    case kAsker:
        names_others_ = names_others_ || asks_others(value.text);
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
