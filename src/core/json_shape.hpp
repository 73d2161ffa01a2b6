// What is wanted of a JSON document: members of objects, by their names, and
// what is wanted of those. Shapes are made when the module is compiled.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace keystile {

class JsonShape;

// A member that is wanted of an object. Names are compared after their
// escapes are resolved.
struct JsonMember {
    std::string_view name;                // at most JsonText::kRoom bytes
    std::uint8_t field;                   // how it is reported; 0: it is not
    const JsonShape *inside = nullptr;    // what is wanted of its members
    const JsonShape *elements = nullptr;  // the same, of each object in it, if
                                          // it is an array
};

class JsonShape {
public:
    enum class Names : std::uint8_t {
        exact,
        any_case,  // as Go folds it: U+017F is an "s", and U+212A a "k"
    };

    // `members` outlive the shape. They are fewer than kPlaces.
    constexpr explicit JsonShape(std::span<const JsonMember> members,
                                 Names names = Names::exact) noexcept
        : members_{members}, names_{names} {
        for (std::size_t i = 0; i < members.size(); i++) {
            auto place = place_of(members[i].name);
            while (places_[place] != 0) {
                place = (place + 1) % kPlaces;
            }
            places_[place] = static_cast<std::uint8_t>(i + 1);
        }
    }

    // The member of that name, or null.
    const JsonMember *find(std::string_view name) const noexcept {
        const auto *member = look_up(name);
        bool is_all = member != nullptr || names_ == Names::exact;
        return is_all ? member : look_up_folded(name);
    }

private:
    const JsonMember *look_up(std::string_view name) const noexcept;
    const JsonMember *look_up_folded(std::string_view name) const noexcept;

    static constexpr std::size_t kPlaces = 32;

    // Of a hash table: the first and the last letter, in any case, and the
    // size tell most names apart.
    static constexpr std::size_t place_of(std::string_view name) noexcept {
        if (name.empty()) {
            return 0;
        }
        std::size_t first = static_cast<unsigned char>(name.front()) & 31U;
        std::size_t last = static_cast<unsigned char>(name.back()) & 31U;
        return (name.size() * 7 + first * 3 + last) % kPlaces;
    }

    std::span<const JsonMember> members_;
    Names names_;
    std::array<std::uint8_t, kPlaces>
        places_{};  // of members, from 1; 0: none
};

}  // namespace keystile
