// Which writing of the state files is the newest, and whose it is.
//
// A generation is a number that grows with each writing, and its lowest bit
// says which of the two files it goes to. The upper 32 bits are the epoch: an
// nginx that takes the files over begins one. Whoever finds a generation above
// its own in them has lost them to another.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace keystile {

// As much of a file as peek_head() needs.
inline constexpr std::size_t kLongestHead = 128;

// Above all: of a later version of keystile, whose generations nobody knows.
inline constexpr std::uint64_t kOtherVersion = ~std::uint64_t{0};

// The generation that the first line of a file tells, whatever comes after it;
// kOtherVersion for that of another version. Nothing where it is no such line.
std::optional<std::uint64_t> peek_head(std::string_view text) noexcept;

// What is to be before the first generation of a new epoch: above `highest`
// that there is, and the first writing goes to the file that is not `newer`.
std::uint64_t next_epoch(std::uint64_t highest, std::size_t newer) noexcept;

// Whether it is among the first of its epoch: one file may be of another.
bool begins_epoch(std::uint64_t generation) noexcept;

// Never lowers it.
void raise_generation(std::atomic<std::uint64_t> &generation,
                      std::uint64_t least) noexcept;

}  // namespace keystile
