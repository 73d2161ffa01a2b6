// Text cut into pieces, as it comes from a socket: what a reader of streams
// says must not depend on where.

#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <string_view>

namespace keystile {

// Calls take(piece) for each piece of `text`, at most `size` bytes each. Every
// piece is a copy of its own, so that sanitizers see whoever reads beyond it.
template <typename Take>
void in_pieces(std::string_view text, std::size_t size, Take take) {
    for (; !text.empty(); text.remove_prefix(std::min(size, text.size()))) {
        auto piece = text.substr(0, size);
        std::unique_ptr<char[]> copy{new char[piece.size()]};
        piece.copy(copy.get(), piece.size());
        take(std::string_view{copy.get(), piece.size()});
    }
}

// Calls check(read) for each way to cut `text`: whole, in two at every byte,
// byte by byte, and at random; read(take) gives the pieces to take.
template <typename Check>
void for_each_cut(std::string_view text, Check check) {
    for (std::size_t at = 0; at <= text.size(); at++) {
        check([text, at](auto take) {
            in_pieces(text.substr(0, at), text.size(), take);
            in_pieces(text.substr(at), text.size(), take);
        });
    }
    for (std::size_t size : {1U, 2U, 3U, 7U, 64U}) {
        check([text, size](auto take) { in_pieces(text, size, take); });
    }
    std::minstd_rand random{1};
    for (int i = 0; i < 50; i++) {
        check([text, &random](auto take) {
            for (auto rest = text; !rest.empty();) {
                auto size = std::min<std::size_t>(random() % 40, rest.size());
                in_pieces(rest.substr(0, size), rest.size(), take);
                rest.remove_prefix(size);
            }
        });
    }
}

}  // namespace keystile
