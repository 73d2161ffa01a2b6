#include "heap_text.hpp"

#include <algorithm>
#include <cstdlib>

namespace keystile {

HeapText::~HeapText() { std::free(bytes_); }

void HeapText::put(std::string_view text) noexcept {
    if (text.empty() || failed_ || !make_room(text.size())) {
        return;
    }
    std::copy(text.begin(), text.end(), bytes_ + size_);
    size_ += text.size();
}

void HeapText::clear() noexcept {
    std::free(bytes_);
    bytes_ = nullptr;
    size_ = 0;
    room_ = 0;
    failed_ = false;
}

bool HeapText::make_room(std::size_t size) noexcept {
    constexpr std::size_t kLeast = 256;
    if (room_ - size_ >= size) {
        return true;
    }
    auto room = std::max({kLeast, room_ + room_ / 2, size_ + size});
    auto *bytes = static_cast<char *>(std::realloc(bytes_, room));
    if (bytes == nullptr) {
        failed_ = true;
        return false;
    }
    bytes_ = bytes;
    room_ = room;
    return true;
}

}  // namespace keystile
