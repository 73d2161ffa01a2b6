#include "json_shape.hpp"

#include "ascii.hpp"

namespace keystile {
namespace {

// A name in ASCII, where all that it is not folds to it. Empty where it does
// not, or is longer than any that is wanted.
class FoldedName {
public:
    explicit FoldedName(std::string_view name) noexcept {
        constexpr std::string_view long_s = "\xC5\xBF";      // U+017F
        constexpr std::string_view kelvin = "\xE2\x84\xAA";  // U+212A
        while (!name.empty() && size_ < bytes_.size()) {
            std::size_t size = 1;
            char c = name.front();
            if (name.starts_with(long_s)) {
                size = long_s.size();
                c = 's';
            } else if (name.starts_with(kelvin)) {
                size = kelvin.size();
                c = 'k';
            }
            bytes_[size_++] = c;
            name.remove_prefix(size);
        }
        size_ = name.empty() ? size_ : 0;
    }

    std::string_view view() const noexcept { return {bytes_.data(), size_}; }

private:
    std::array<char, 32> bytes_;
    std::size_t size_ = 0;
};

bool is_ascii(std::string_view name) noexcept {
    return none_of_bytes(name, [](ByteVector bytes) { return bytes > 127; });
}

}  // namespace

const JsonMember *JsonShape::look_up(std::string_view name) const noexcept {
    for (auto place = place_of(name); places_[place] != 0;
         place = (place + 1) % kPlaces) {
        const auto &member = members_[places_[place] - 1U];
        if (names_ == Names::any_case ? equals_ignoring_case(member.name, name)
                                      : member.name == name) {
            return &member;
        }
    }
    return nullptr;
}

const JsonMember *JsonShape::look_up_folded(
    std::string_view name) const noexcept {
    return is_ascii(name) ? nullptr : look_up(FoldedName{name}.view());
}

}  // namespace keystile
