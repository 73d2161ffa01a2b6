#include "json_shape.hpp"

#include "ascii.hpp"

namespace keystile {

const JsonMember *JsonShape::find(std::string_view name) const noexcept {
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

}  // namespace keystile
