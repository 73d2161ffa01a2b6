// What an answer cost, out of the body of an HTTP reply as it passes.

#pragma once

#include <cstdint>
#include <string_view>

#include "event_stream.hpp"
#include "usage_scan.hpp"

namespace keystile {

// Of a reply that is JSON or a stream of events: which of them shows by its
// first byte that is no space, since Content-Type is often missing or wrong.
// Anything else, a compressed reply too, has no usage to see.
class UsageReader {
public:
    // The next bytes of the body.
    void read(std::string_view piece) noexcept;

    // The body ended as it should, not by an abort: for replies whose last
    // part does not say that it is the last (Gemini).
    void end() noexcept;

    // As far as it was seen; at any time.
    Usage usage() const noexcept { return scan_.usage(); }

private:
    enum class Form : std::uint8_t { unknown, events, document };

    void read_form(std::string_view &piece) noexcept;
    void read_events(std::string_view piece) noexcept;
    void skip_unwanted(std::string_view &piece) noexcept;
    void read_document(std::string_view piece) noexcept;

    EventStream stream_;
    UsageScan scan_;
    Form form_ = Form::unknown;
};

}  // namespace keystile
