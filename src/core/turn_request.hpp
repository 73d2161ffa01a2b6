// What a request asks of a model, out of its JSON as it passes: the body of
// an HTTP request, or a message of a client on a socket.

#pragma once

#include <cstdint>
#include <string_view>

#include "json_check.hpp"
#include "json_scan.hpp"
#include "model_name.hpp"

namespace keystile {

struct TurnRequest {
    // Whoever has a rule for models refuses all but `named`.
    enum class Naming : std::uint8_t {
        missing,
        named,
        doubled,     // even if it is the same twice; where the reader is
                     // strict, also with others that may be asked, too
        unreadable,  // no text, or no name (ModelName), or no whole document
    };

    ModelName model{};  // where it is named, else empty
    Naming naming = Naming::missing;
    bool creates = false;  // its type is "response.create"; on a socket
    bool names_by_itself = false;  // of an interface where the message is what
                                   // names a model, not the target
    bool prewarm = false;          // "generate": false, and not both
    bool binary = false;           // a message on a socket that is no text
};

class TurnRequestReader {
public:
    TurnRequestReader() noexcept;

    // From the next text on, one is unreadable unless all of it is JSON
    // (JsonCheck): for decisions. Without, what is not wanted is passed over,
    // and whoever reads it in another way may find another model.
    void be_strict() noexcept { is_strict_ = true; }

    // More of the text.
    void take(std::string_view piece) noexcept;

    // The same, and no further than the first model.
    void take_to_model(std::string_view piece) noexcept;

    // The text ended: what it asks. Begins another.
    TurnRequest end_text() noexcept;

    // The same before it ended; a name may still turn out to be doubled.
    const TurnRequest &so_far() const noexcept { return request_; }

private:
    void take_value(const JsonValue &value) noexcept;
    void take_model(const JsonValue &value) noexcept;

    bool may_ask_others() const noexcept;
    bool is_json() const noexcept;

    JsonScan scan_;
    JsonCheck check_;
    TurnRequest request_;
    bool is_strict_ = false;
    bool names_others_ = false;  // than "model"
    bool generates_ = false;     // some "generate" says anything but false
};

}  // namespace keystile
