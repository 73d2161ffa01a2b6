// The name of a model as a request or a reply writes it.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "escaped_text.hpp"

namespace keystile {

class ModelName {
public:
    static constexpr std::size_t kRoom = 64;

    // False, and the name is empty, if this is none: empty, longer than
    // kRoom, with a control byte in it, or no UTF-8: where that is written,
    // several names would be one. It may hold anything else, quotes too:
    // whoever writes it somewhere escapes it.
    bool set(std::string_view name) noexcept {
        bool is_name = !name.empty() && name.size() <= kRoom && is_text(name);
        size_ = is_name ? static_cast<std::uint8_t>(name.size()) : 0;
        std::copy_n(name.begin(), size_, bytes_.begin());
        return is_name;
    }

    std::string_view view() const noexcept { return {bytes_.data(), size_}; }

private:
    static bool is_text(std::string_view name) noexcept {
        while (!name.empty()) {
            auto byte = static_cast<unsigned char>(name.front());
            auto size = byte < 0x80 ? 1 : utf8_size(name);
            if (size == 0 || byte < 0x20 || byte == 0x7F) {
                return false;
            }
            name.remove_prefix(size);
        }
        return true;
    }

    std::array<char, kRoom> bytes_{};
    std::uint8_t size_ = 0;
};

}  // namespace keystile
