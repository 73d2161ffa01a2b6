// SHA-256 of a text that comes in pieces. Of no secret: see Sha256 for those.

#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "digest.hpp"

namespace keystile {

class RunningDigest {
public:
    RunningDigest() noexcept;

    void take(std::string_view piece) noexcept;

    // Of all that was taken, which begins anew after that. Nothing when
    // OpenSSL's SHA-256 is out of order.
    std::optional<Sha256Digest> end() noexcept;

private:
    alignas(8) std::array<std::byte, 112> state_;
    bool works_;
};

}  // namespace keystile
