#include "number_text.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace keystile {
namespace {

TEST(NumberText, Writes) {
    constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();
    struct {
        std::uint64_t amount;
        unsigned decimals;
        unsigned least;
        const char *text;
    } cases[] = {
        {0, 0, 0, "0"},
        {1200, 0, 0, "1200"},
        {kMost, 0, 0, "18446744073709551615"},
        {0, 3, 0, "0"},
        {0, 3, 1, "0.0"},
        {1500, 3, 0, "1.5"},
        {1500, 3, 2, "1.50"},
        {1500, 3, 3, "1.500"},
        {2000, 3, 0, "2"},
        {2000, 3, 1, "2.0"},
        {5, 3, 0, "0.005"},
        {10, 3, 0, "0.01"},
        {1, 12, 0, "0.000000000001"},
        {kMost, 12, 0, "18446744.073709551615"},
        {1, 19, 0, "0.0000000000000000001"},
        {kMost, 19, 0, "1.8446744073709551615"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ((NumberText{c.amount, c.decimals, c.least}.view()), c.text);
    }
}

}  // namespace
}  // namespace keystile
