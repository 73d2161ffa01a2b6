#include "request_id.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace keystile {
namespace {

TEST(RequestIds, AreHexadecimal) {
    RequestIds ids{{1, 2}};
    for (int i = 0; i < 1000; i++) {
        auto id = ids.next();
        EXPECT_TRUE(std::all_of(id.begin(), id.end(), [](char c) {
            return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        }));
    }
}

TEST(RequestIds, DoNotRepeat) {
    std::set<RequestId> seen;
    for (std::uint64_t seed = 0; seed < 10; seed++) {
        RequestIds ids{{seed, 7}};
        for (int i = 0; i < 10000; i++) {
            EXPECT_TRUE(seen.insert(ids.next()).second);
        }
    }
}

}  // namespace
}  // namespace keystile
