// Writes one JSON text (RFC 8259), without spaces and in UTF-8.

#pragma once

#include <cstdint>
#include <string_view>

#include "text_sink.hpp"

namespace keystile {

// Sets the commas; that what is begun is ended, and that each member of an
// object has a name, is up to the caller.
class JsonWriter {
public:
    explicit JsonWriter(TextSink &sink) noexcept : sink_{sink} {}

    void begin_object() noexcept { begin("{"); }
    void end_object() noexcept { end("}"); }
    void begin_array() noexcept { begin("["); }
    void end_array() noexcept { end("]"); }

    // Of the member whose value is next. Requires that nothing in it is to be
    // escaped.
    void name(std::string_view name) noexcept;

    // Any bytes; what is not UTF-8 becomes U+FFFD. "<" is escaped, so that
    // the text can stand in a script element of HTML.
    void string(std::string_view text) noexcept;

    void number(std::uint64_t number) noexcept { decimal(number, 0); }

    // As NumberText.
    void decimal(std::uint64_t amount, unsigned decimals,
                 unsigned least = 0) noexcept;

    // "2027-01-31T00:00:00Z"; null for 0.
    void timestamp(std::int64_t seconds) noexcept;

    void null() noexcept;

    // A value that the caller puts into the sink itself, next.
    void raw() noexcept { separate(); }

    // A member, name and value.
    void member(std::string_view its_name, std::string_view value) noexcept {
        name(its_name);
        string(value);
    }
    void member(std::string_view its_name, std::uint64_t value) noexcept {
        name(its_name);
        number(value);
    }
    void member_or_null(std::string_view its_name,
                        std::string_view value) noexcept {  // null: empty
        name(its_name);
        value.empty() ? null() : string(value);
    }

private:
    void begin(std::string_view bracket) noexcept;
    void end(std::string_view bracket) noexcept;
    void separate() noexcept;

    TextSink &sink_;
    bool follows_ = false;  // another element of the same array or object
};

}  // namespace keystile
