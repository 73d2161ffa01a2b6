// Histograms of times, with the bucket borders that OpenTelemetry's semantic
// conventions for generative AI recommend.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace keystile {

// `Borders` is an array of milliseconds, ascending: a bucket holds what is no
// more than its border; the last one, the rest.
template <const auto &Borders>
struct Histogram {
    static constexpr std::size_t kBuckets = Borders.size() + 1;

    static constexpr std::size_t bucket_of(std::uint64_t ms) noexcept {
        std::size_t i = 0;
        while (i < Borders.size() && ms > Borders[i]) {
            i++;
        }
        return i;
    }

    std::array<std::uint64_t, kBuckets> buckets{};  // not cumulative
    std::uint64_t milliseconds = 0;                 // the sum
};

// gen_ai.server.time_to_first_token
inline constexpr std::array<std::uint32_t, 14> kFirstTokenBorders{
    5, 10, 20, 40, 60, 80, 100, 250, 500, 1000, 2500, 5000, 7500, 10000};

// gen_ai.server.request.duration
inline constexpr std::array<std::uint32_t, 14> kDurationBorders{
    10,   20,   40,   80,    160,   320,   640,
    1280, 2560, 5120, 10240, 20480, 40960, 81920};

using FirstTokenHistogram = Histogram<kFirstTokenBorders>;
using DurationHistogram = Histogram<kDurationBorders>;

}  // namespace keystile
