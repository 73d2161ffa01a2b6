// Bodies with content codings, as clients make them.

#pragma once

#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace keystile {

// `window_bits` as deflateInit2() has it.
inline std::string deflated(std::string_view text, int window_bits) {
    z_stream stream{};
    deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
    std::string copy{text};
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef *>(copy.data());
    stream.avail_in = static_cast<uInt>(copy.size());
    stream.next_out = reinterpret_cast<Bytef *>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

inline std::string gzipped(std::string_view text) {
    return deflated(text, MAX_WBITS + 16);
}

inline std::string zlibbed(std::string_view text) {
    return deflated(text, MAX_WBITS);
}

// Without what goes around it (RFC 1951).
inline std::string bare_deflated(std::string_view text) {
    return deflated(text, -MAX_WBITS);
}

// As a stream whose size is not known when it begins, as Codex sends it.
// `zeros` more zero bytes follow the text.
inline std::string zstd_stream(std::string_view text, int window_log = 21,
                               std::size_t zeros = 0) {
    auto *stream = ZSTD_createCCtx();
    ZSTD_CCtx_setParameter(stream, ZSTD_c_windowLog, window_log);
    ZSTD_CCtx_setParameter(stream, ZSTD_c_checksumFlag, 1);
    std::string out;
    std::string room(ZSTD_CStreamOutSize(), '\0');
    auto add = [&](std::string_view piece, ZSTD_EndDirective end) {
        ZSTD_inBuffer from{piece.data(), piece.size(), 0};
        std::size_t left = 0;
        do {
            ZSTD_outBuffer to{room.data(), room.size(), 0};
            left = ZSTD_compressStream2(stream, &to, &from, end);
            out.append(room, 0, to.pos);
        } while (end == ZSTD_e_end ? left != 0 : from.pos < from.size);
    };
    add(text, ZSTD_e_continue);
    const std::string block(std::size_t{1} << 20U, '\0');
    for (; zeros > 0; zeros -= std::min(zeros, block.size())) {
        add(std::string_view{block}.substr(0, zeros), ZSTD_e_continue);
    }
    add({}, ZSTD_e_end);
    ZSTD_freeCCtx(stream);
    return out;
}

// As a frame that says its size.
inline std::string zstd_whole(std::string_view text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(
        ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
}

// As a frame of one raw block, which shows its text. At most 255 bytes.
inline std::string zstd_raw(std::string_view text) {
    auto header = text.size() << 3U | 1U;  // the last block, raw
    std::string out{"\x28\xB5\x2F\xFD\x20"};
    for (auto byte : {text.size(), header & 0xFFU, header >> 8U}) {
        out += static_cast<char>(byte);
    }
    return out + '\0' + std::string{text};
}

}  // namespace keystile
