#include "record_body.hpp"

#include <algorithm>
#include <array>

#include "body_decoder.hpp"
#include "escaped_text.hpp"
#include "json_writer.hpp"

namespace keystile {
namespace {

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        auto size = utf8_size(text);
        if (size == 0) {
            return false;
        }
        text.remove_prefix(size);
    }
    return true;
}

// RFC 4648 section 4.
void put_base64(std::string_view bytes, TextSink &sink) noexcept {
    constexpr std::string_view kDigits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (; !bytes.empty();
         bytes.remove_prefix(std::min<std::size_t>(3, bytes.size()))) {
        auto three = bytes.substr(0, 3);
        unsigned bits = 0;
        for (std::size_t i = 0; i < 3; i++) {
            auto byte =
                i < three.size() ? static_cast<unsigned char>(three[i]) : 0U;
            bits = bits << 8U | byte;
        }
        std::array<char, 4> four{'=', '=', '=', '='};
        for (std::size_t i = 0; i <= three.size(); i++) {
            four[i] = kDigits[bits >> (18 - 6 * i) & 63U];
        }
        sink.put({four.data(), four.size()});
    }
}

}  // namespace

void RecordBody::unpack(const RecordBytes &bytes, std::string_view encoding,
                        std::size_t most, std::size_t margin) noexcept {
    constexpr std::size_t kTimes = 8;  // that a layer below may be as large
    BodyDecoder decoder{kTimes * most};
    bool known = decoder.add(encoding);
    bool is_too_large = false;
    auto keep = [&](std::string_view part) {
        is_too_large = part.size() > most - text.size();
        text.put(part.substr(0, most - text.size()));
        return !is_too_large && !text.has_failed();
    };
    bool good = known;
    bytes.for_each([&](std::string_view piece) {
        // A coding that is not known is left on.
        good = known ? decoder.take(piece, keep) : keep(piece);
        return good && !is_too_large;
    });
    is_cut = bytes.is_truncated() || is_too_large || decoder.is_too_large();
    if (is_cut) {
        text.cut(text.size() - std::min(margin, text.size()));
    }
    bool is_whole = known && good && decoder.is_complete();
    is_broken = !known || (!is_cut && !is_whole && bytes.seen() != 0);
}

void put_as_text(std::string_view text, TextSink &sink) noexcept {
    JsonWriter json{sink};
    if (is_utf8(text)) {
        return json.string(text);
    }
    json.begin_object();
    json.name("base64");
    sink.put("\"");
    put_base64(text, sink);
    sink.put("\"");
    json.end_object();
}

}  // namespace keystile
