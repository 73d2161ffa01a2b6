#include "record_bytes.hpp"

#include <algorithm>
#include <cstdlib>

namespace keystile {

void RecordBytes::append(std::string_view piece) noexcept {
    seen_ += piece.size();
    piece = piece.substr(0, most_ - kept_);
    while (!piece.empty()) {
        auto *chunk = last_;
        if (chunk == nullptr || chunk->size == chunk->room) {
            chunk = more_room();
        }
        if (chunk == nullptr) {
            drop();
            over_budget_ = true;
            return;
        }
        auto part = piece.substr(0, chunk->room - chunk->size);
        std::copy(part.begin(), part.end(), chunk->bytes() + chunk->size);
        chunk->size += part.size();
        kept_ += part.size();
        piece.remove_prefix(part.size());
    }
}

// Small bodies are many: each chunk is twice as large as the one before.
RecordBytes::Chunk *RecordBytes::more_room() noexcept {
    constexpr std::size_t kFirst = 4096;
    constexpr std::size_t kLargest = 65536;
    auto size = last_ == nullptr
                    ? kFirst
                    : std::min(kLargest, 2 * (last_->room + sizeof(Chunk)));
    if (!budget_.take(size)) {
        return nullptr;
    }
    auto *chunk = static_cast<Chunk *>(std::malloc(size));
    if (chunk == nullptr) {
        budget_.give(size);
        return nullptr;
    }
    *chunk = {nullptr, 0, size - sizeof(Chunk)};
    (last_ == nullptr ? first_ : last_->next) = chunk;
    last_ = chunk;
    return chunk;
}

void RecordBytes::drop() noexcept {
    while (first_ != nullptr) {
        auto *chunk = first_;
        first_ = chunk->next;
        budget_.give(chunk->room + sizeof(Chunk));
        std::free(chunk);
    }
    last_ = nullptr;
    kept_ = 0;
    most_ = 0;
}

}  // namespace keystile
