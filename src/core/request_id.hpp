// Ids of our own for requests that bring none.

#pragma once

#include <array>
#include <cstdint>

namespace keystile {

// 32 hexadecimal digits, as nginx's $request_id.
using RequestId = std::array<char, 32>;

// Ids that do not repeat within a process, and between processes only by
// chance (122 bits or so of it). They name requests in logs and are no
// secrets, so a generator of statistical quality will do: splitmix64 (Steele,
// Lea and Flood 2014) over two counters, seeded once.
class RequestIds {
public:
    // The seed is to be random, and another in each process.
    explicit constexpr RequestIds(std::array<std::uint64_t, 2> seed) noexcept
        : state_{seed} {}

    RequestId next() noexcept;

private:
    std::array<std::uint64_t, 2> state_;
};

}  // namespace keystile
