// Text cut into pieces, at random but the same each time.

#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <random>
#include <string_view>

// Calls take(piece) for each piece, at most `longest` bytes each. Every piece
// is a copy of its own, so that whoever reads beyond it is seen.
template <typename Take>
void in_pieces(std::string_view text, std::size_t longest, Take take) {
    std::minstd_rand random{static_cast<unsigned>(text.size() + longest)};
    while (!text.empty()) {
        auto size = std::min(random() % longest + 1, text.size());
        std::unique_ptr<char[]> copy{new char[size]};
        text.copy(copy.get(), size);
        take(std::string_view{copy.get(), size});
        text.remove_prefix(size);
    }
}
