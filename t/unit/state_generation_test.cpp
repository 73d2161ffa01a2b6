#include "state_generation.hpp"

#include <gtest/gtest.h>

#include <string>

#include "save_turn.hpp"

namespace keystile {
namespace {

constexpr std::uint64_t kEpoch = std::uint64_t{1} << 32;

TEST(StateGeneration, TheFirstLineTellsIt) {
    EXPECT_EQ(peek_head("keystile-state 1 7 1800000000 1700000000\n"), 7U);
    EXPECT_EQ(peek_head("keystile-state 1 7 1 1\nand whatever\n\0\xFF"), 7U);
    EXPECT_EQ(peek_head("keystile-state 1 18446744073709551614 1 1\n"),
              ~std::uint64_t{1});
    std::string longest =
        "keystile-state 1 18446744073709551615 "
        "-9223372036854775808 -9223372036854775808\n";
    EXPECT_LE(longest.size(), kLongestHead);
    EXPECT_EQ(peek_head(longest), ~std::uint64_t{0});
}

TEST(StateGeneration, AnotherVersionIsAboveAll) {
    for (auto text : {"keystile-state 2 7 1 1\n", "keystile-state 2\n",
                      "keystile-state 11 7 1 1\n", "keystile-state 2 x"}) {
        EXPECT_EQ(peek_head(text), kOtherVersion) << text;
    }
}

TEST(StateGeneration, WhatIsNoFirstLineTellsNone) {
    for (auto text :
         {"", "\n", "keystile-state", "keystile-state ", "keystile-state 1",
          "keystile-state 1 ", "keystile-state 1 7 1 1", "keystile-state 1\n",
          "keystile-state 1 7\n", "keystile-state 1 7 1\n",
          "keystile-state 1 7 1 1 1\n", "keystile-state 1 x 1 1\n",
          "keystile-state 1 -7 1 1\n", "keystile-state 1  7 1 1\n",
          "keystile-state 1 18446744073709551616 1 1\n",
          " keystile-state 1 7 1 1\n", "Dear diary,\n"}) {
        EXPECT_EQ(peek_head(text), std::nullopt) << text;
    }
    std::string line = "keystile-state 1 7 1800000000 1700000000\n";
    for (std::size_t size = 0; size < line.size(); size++) {
        EXPECT_EQ(peek_head(line.substr(0, size)), std::nullopt) << size;
    }
    std::string zeros(kLongestHead, '\0');
    EXPECT_EQ(peek_head(zeros), std::nullopt);
}

TEST(StateGeneration, AnEpochIsAboveAllThatThereIs) {
    EXPECT_EQ(next_epoch(0, 0), kEpoch);
    EXPECT_EQ(next_epoch(7, 1), kEpoch | 1);
    EXPECT_EQ(next_epoch(kEpoch - 1, 0), kEpoch);
    EXPECT_EQ(next_epoch(kEpoch, 0), 2 * kEpoch);
    EXPECT_EQ(next_epoch(2 * kEpoch + 99, 1), 3 * kEpoch | 1);
    EXPECT_EQ(next_epoch(~std::uint64_t{0}, 1) >> 32, 0xFFFFFFFF);
}

TEST(StateGeneration, TheFirstWritingSparesTheNewerFile) {
    for (std::size_t newer : {0U, 1U}) {
        EXPECT_EQ((next_epoch(5, newer) + 1) % 2, 1 - newer);
    }
}

TEST(StateGeneration, BothFilesAreWrittenWhenAnEpochBegins) {
    for (std::size_t newer : {0U, 1U}) {
        auto first = next_epoch(5, newer) + 1;
        EXPECT_TRUE(begins_epoch(first));
        EXPECT_FALSE(begins_epoch(first + 2));
    }
    EXPECT_FALSE(begins_epoch(7 * kEpoch - 1));
}

TEST(StateGeneration, IsNeverLowered) {
    std::atomic<std::uint64_t> generation{5};
    raise_generation(generation, 4);
    EXPECT_EQ(generation, 5U);
    raise_generation(generation, kEpoch);
    EXPECT_EQ(generation, kEpoch);
}

bool is_alive(std::int32_t) noexcept { return false; }
bool is_dead(std::int32_t) noexcept { return true; }

TEST(SaveTurn, IsThatOfOneProcess) {
    SaveTurn turn;
    EXPECT_FALSE(turn.keep(101, 1000));
    EXPECT_TRUE(turn.take(101, 1000, is_alive));
    EXPECT_TRUE(turn.take(101, 1000, is_alive));
    EXPECT_FALSE(turn.take(102, 1001, is_alive));
    EXPECT_FALSE(turn.keep(102, 1001));
    turn.end(102);  // not its own
    EXPECT_TRUE(turn.keep(101, 1001));
    turn.end(101);
    EXPECT_FALSE(turn.keep(101, 1001));
    EXPECT_TRUE(turn.take(102, 1002, is_alive));
}

TEST(SaveTurn, OfAProcessThatIsGoneIsAnothers) {
    SaveTurn turn;
    EXPECT_TRUE(turn.take(101, 1000, is_alive));
    EXPECT_TRUE(turn.take(102, 1000, is_dead));
    EXPECT_FALSE(turn.keep(101, 1000));
    EXPECT_TRUE(turn.keep(102, 1000));
}

TEST(SaveTurn, OfAProcessThatHangsIsAnothers) {
    SaveTurn turn;
    auto late = 1000 + SaveTurn::kLongest;
    EXPECT_TRUE(turn.take(101, 1000, is_alive));
    EXPECT_FALSE(turn.take(102, late, is_alive));
    EXPECT_TRUE(turn.keep(101, 1010));
    EXPECT_FALSE(turn.take(102, late + 1, is_alive));
    EXPECT_TRUE(turn.take(102, late + 11, is_alive));
    EXPECT_FALSE(turn.keep(101, late + 11));
    turn.end(101);
    EXPECT_TRUE(turn.keep(102, late + 11));
    EXPECT_FALSE(turn.take(101, late + 12, is_alive));
}

}  // namespace
}  // namespace keystile
