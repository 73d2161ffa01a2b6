// Text that grows on the heap: for what is done beside the traffic, where how
// much there will be is not known before.

#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "text_sink.hpp"

namespace keystile {

class HeapText final : public TextSink {
public:
    HeapText() noexcept = default;
    ~HeapText();
    HeapText(const HeapText &) = delete;
    HeapText &operator=(const HeapText &) = delete;

    // What is put when there is no memory is lost, and so is all after it.
    void put(std::string_view text) noexcept override;

    std::string_view view() const noexcept { return {bytes_, size_}; }
    std::span<char> bytes() noexcept { return {bytes_, size_}; }
    std::size_t size() const noexcept { return size_; }
    bool has_failed() const noexcept { return failed_; }

    // Forgets all but the first `size` bytes; at most size() of them.
    void cut(std::size_t size) noexcept { size_ = size; }

    // Gives the memory back, too.
    void clear() noexcept;

private:
    bool make_room(std::size_t size) noexcept;

    char *bytes_ = nullptr;
    std::size_t size_ = 0;
    std::size_t room_ = 0;
    bool failed_ = false;
};

}  // namespace keystile
