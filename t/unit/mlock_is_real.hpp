// AddressSanitizer replaces mlock(2) by a function that does nothing.

#pragma once

namespace keystile {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kMlockIsReal = false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
inline constexpr bool kMlockIsReal = false;
#else
inline constexpr bool kMlockIsReal = true;
#endif
#else
inline constexpr bool kMlockIsReal = true;
#endif

}  // namespace keystile

#define NEEDS_MLOCK()                                       \
    if (!keystile::kMlockIsReal) {                          \
        GTEST_SKIP() << "mlock does nothing in this build"; \
    }                                                       \
    static_assert(true)
