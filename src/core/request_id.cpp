#include "request_id.hpp"

namespace keystile {
namespace {

constexpr std::uint64_t mix(std::uint64_t z) noexcept {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

}  // namespace

RequestId RequestIds::next() noexcept {
    constexpr std::uint64_t step = 0x9E3779B97F4A7C15;
    constexpr auto digits = "0123456789abcdef";

    RequestId id;
    auto out = id.begin();
    for (auto &state : state_) {
        state += step;
        auto bits = mix(state);
        for (int i = 0; i < 16; i++) {
            *out++ = digits[bits >> 60];
            bits <<= 4;
        }
    }
    return id;
}

}  // namespace keystile
