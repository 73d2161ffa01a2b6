#include "request_id.hpp"

#include <bit>

#include "byte_vector.hpp"

namespace keystile {
namespace {

constexpr std::uint64_t mix(std::uint64_t z) noexcept {
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

// Of numbers below 16.
ByteVector hex_digits(ByteVector numbers) noexcept {
    constexpr std::uint8_t letters = 'a' - '0' - 10;
    return numbers + '0' + (ByteVector(numbers > 9) & letters);
}

}  // namespace

// Which of the digits comes first makes no difference.
RequestId RequestIds::next() noexcept {
    constexpr std::uint64_t step = 0x9E3779B97F4A7C15;

    std::array<std::uint64_t, 2> bits;
    for (std::size_t i = 0; i < bits.size(); i++) {
        state_[i] += step;
        bits[i] = mix(state_[i]);
    }
    auto bytes = std::bit_cast<ByteVector>(bits);
    std::array halves{hex_digits(bytes >> 4), hex_digits(bytes & 15)};
    return std::bit_cast<RequestId>(halves);
}

}  // namespace keystile
