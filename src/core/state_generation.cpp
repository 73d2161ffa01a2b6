#include "state_generation.hpp"

#include "state_words.hpp"

namespace keystile {
namespace {

constexpr std::uint64_t kLastEpoch = ~std::uint32_t{0};

}  // namespace

std::optional<std::uint64_t> peek_head(std::string_view text) noexcept {
    using namespace state_words;

    if (!text.starts_with(kMagic)) {
        return std::nullopt;
    }
    auto version = text.substr(kMagic.size());
    auto end = version.find_first_of(" \n");
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    if (version.substr(0, end) != kVersion) {
        return kOtherVersion;
    }
    if (text.find('\n') == std::string_view::npos) {
        return std::nullopt;
    }
    StateHead head;
    return read_head(cut(text, '\n'), head) ? std::optional{head.generation}
                                            : std::nullopt;
}

// One more epoch for each start: they do not run out.
std::uint64_t next_epoch(std::uint64_t highest, std::size_t newer) noexcept {
    auto epoch = highest >> 32;
    epoch += epoch < kLastEpoch;
    return epoch << 32 | newer;
}

bool begins_epoch(std::uint64_t generation) noexcept {
    return (generation & kLastEpoch) <= 2;
}

void raise_generation(std::atomic<std::uint64_t> &generation,
                      std::uint64_t least) noexcept {
    for (auto now = generation.load();
         now < least && !generation.compare_exchange_weak(now, least);) {
    }
}

}  // namespace keystile
