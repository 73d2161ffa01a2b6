// Result<T, E>: a value, or the reason there is none.
//
// The module is built without exceptions, and C++20 has no std::expected.
// The caller must look: the type is [[nodiscard]], and reading the wrong side
// is a programming error that std::get_if turns into a null dereference
// rather than a throw.

#pragma once

#include <utility>
#include <variant>

namespace keystile {

template <typename T, typename E>
class [[nodiscard]] Result {
public:
    constexpr Result(T value) noexcept
        : state_{std::in_place_index<0>, std::move(value)} {}
    constexpr Result(E error) noexcept
        : state_{std::in_place_index<1>, std::move(error)} {}

    [[nodiscard]] constexpr bool has_value() const noexcept {
        return state_.index() == 0;
    }
    constexpr explicit operator bool() const noexcept { return has_value(); }

    // Requires has_value().
    constexpr T &operator*() noexcept { return *std::get_if<0>(&state_); }
    constexpr const T &operator*() const noexcept {
        return *std::get_if<0>(&state_);
    }
    constexpr T *operator->() noexcept { return std::get_if<0>(&state_); }
    constexpr const T *operator->() const noexcept {
        return std::get_if<0>(&state_);
    }

    // Requires !has_value().
    constexpr E &error() noexcept { return *std::get_if<1>(&state_); }
    constexpr const E &error() const noexcept {
        return *std::get_if<1>(&state_);
    }

private:
    std::variant<T, E> state_;
};

}  // namespace keystile
