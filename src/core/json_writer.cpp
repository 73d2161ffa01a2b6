#include "json_writer.hpp"

#include <array>

#include "escaped_text.hpp"
#include "number_text.hpp"
#include "timestamp.hpp"

namespace keystile {
namespace {

constexpr std::size_t kUnicodeEscape = 6;  // bytes
constexpr std::size_t kControls = 0x20;

// "\u0000" "\u0001" and so on to "\u001f".
constexpr auto kControlEscapes = [] {
    std::array<char, kControls * kUnicodeEscape> table{};
    for (std::size_t i = 0; i < kControls; i++) {
        auto at = i * kUnicodeEscape;
        table[at] = '\\';
        table[at + 1] = 'u';
        table[at + 2] = '0';
        table[at + 3] = '0';
        table[at + 4] = i < 0x10 ? '0' : '1';
        table[at + 5] = "0123456789abcdef"[i % 0x10];
    }
    return table;
}();

std::string_view escape_of(char c) noexcept {
    auto byte = static_cast<unsigned char>(c);
    if (byte < kControls) {
        return {kControlEscapes.data() + byte * kUnicodeEscape,
                kUnicodeEscape};
    }
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '<':
        return "\\u003c";
    default:
        return {};
    }
}

}  // namespace

void JsonWriter::begin(std::string_view bracket) noexcept {
    separate();
    sink_.put(bracket);
    follows_ = false;
}

void JsonWriter::end(std::string_view bracket) noexcept {
    sink_.put(bracket);
    follows_ = true;
}

// Before each value and each name; a value has none before it that has a name.
void JsonWriter::separate() noexcept {
    if (follows_) {
        sink_.put(",");
    }
    follows_ = true;
}

void JsonWriter::name(std::string_view name) noexcept {
    separate();
    sink_.put("\"");
    sink_.put(name);
    sink_.put("\":");
    follows_ = false;
}

void JsonWriter::string(std::string_view text) noexcept {
    separate();
    sink_.put("\"");
    put_escaped(sink_, text, escape_of);
    sink_.put("\"");
}

void JsonWriter::decimal(std::uint64_t amount, unsigned decimals,
                         unsigned least) noexcept {
    separate();
    sink_.put(NumberText{amount, decimals, least}.view());
}

void JsonWriter::timestamp(std::int64_t seconds) noexcept {
    if (seconds == 0) {
        return null();
    }
    string(TimestampText{seconds}.view());
}

void JsonWriter::null() noexcept {
    separate();
    sink_.put("null");
}

}  // namespace keystile
