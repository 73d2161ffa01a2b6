// Any body, under any codings: how it is cut does not matter, there is never
// more of it than there may be, and what a whole one says of a model is said
// of its text.

#include "body_decoder.hpp"

#include <zlib.h>
#include <zstd.h>

#include <optional>
#include <string>

#include "check.hpp"
#include "pieces.hpp"
#include "request_model.hpp"

namespace keystile {
namespace {

constexpr std::uint64_t kMost = 100'000;

// The text of a body that is whole.
std::optional<std::string> decode(std::string_view codings,
                                  std::string_view body, std::size_t longest) {
    BodyDecoder decoder{kMost};
    bool is_read = decoder.add(codings);
    std::string text;
    in_pieces(body, longest, [&](std::string_view piece) {
        bool goes_on = decoder.take(piece, [&](std::string_view part) {
            check(is_read, "nothing comes after an error");
            text += part;
            return true;
        });
        check(is_read || !goes_on, "an error is for good");
        is_read = goes_on;
    });
    check(text.size() <= kMost, "it is not too large");
    check(is_read || !decoder.is_complete(), "what is broken is not whole");
    check(!is_read || !decoder.is_too_large(), "too large is an error");
    return decoder.is_complete() ? std::optional{text} : std::nullopt;
}

void check_request(std::string_view codings, std::string_view body,
                   const std::optional<std::string> &text) {
    RequestModel model{kMost};
    model.add_encoding(codings);
    in_pieces(body, 100, [&](std::string_view piece) { model.take(piece); });
    auto request = model.end();
    TurnRequestReader reader;
    reader.be_strict();
    reader.take(text.value_or(""));
    auto expected = reader.end_text();
    check(request.naming == expected.naming &&
              request.model.view() == expected.model.view(),
          "the text decides");
}

// What zlib makes of it, with that window.
std::string deflated(std::string_view text, int window) {
    z_stream z{};
    check(
        deflateInit2(&z, 1, Z_DEFLATED, window, 1, Z_DEFAULT_STRATEGY) == Z_OK,
        "zlib has memory");
    std::string out(deflateBound(&z, text.size()) + 32, '\0');
    std::string in{text};
    z.next_in = reinterpret_cast<Bytef *>(in.data());
    z.avail_in = static_cast<uInt>(in.size());
    z.next_out = reinterpret_cast<Bytef *>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    check(deflate(&z, Z_FINISH) == Z_STREAM_END, "zlib has room");
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
}

std::string zstandard(std::string_view text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    auto size =
        ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 1);
    check(ZSTD_isError(size) == 0, "zstd has room");
    out.resize(size);
    return out;
}

// A mutation does not get past a checksum: so others pack what it made.
void check_round_trip(std::string_view text) {
    auto longest = text.size() % 90 + 1;
    auto goes = [&](std::string_view codings, const std::string &packed) {
        check(decode(codings, packed, longest) == text,
              "what was packed comes out");
        check(!decode(codings, packed.substr(0, packed.size() - 1), longest),
              "what is cut is not whole");
    };
    switch (text.size() % 4) {
    case 0:
        return goes("gzip", deflated(text, 31));
    case 1:
        return goes("deflate", deflated(text, 15));
    case 2:
        return goes("zstd", zstandard(text));
    default:
        return goes("zstd, gzip", deflated(zstandard(text), 31));
    }
}

}  // namespace
}  // namespace keystile

// The first line is the Content-Encoding.
int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    auto input = text_of(bytes, size);
    auto end = std::min(input.find('\n'), input.size());
    auto codings = input.substr(0, end);
    auto body = input.substr(std::min(end + 1, input.size()));
    auto text = keystile::decode(codings, body, size + 1);
    for (std::size_t longest : {1U, 2U, 7U, 50U}) {
        check(keystile::decode(codings, body, longest) == text,
              "cuts do not matter");
    }
    keystile::check_request(codings, body, text);
    keystile::check_round_trip(body);
    return 0;
}
