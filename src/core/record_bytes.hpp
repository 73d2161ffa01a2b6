// The bytes of a body that are kept for its record, and the memory that all
// of them hold in a process.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keystile {

// Bytes of memory. Taken by the thread that serves, given back by the one
// that writes.
class RecordBudget {
public:
    explicit constexpr RecordBudget(std::size_t most) noexcept : most_{most} {}

    bool take(std::size_t size) noexcept {
        if (held_.fetch_add(size, std::memory_order_relaxed) + size <= most_) {
            return true;
        }
        give(size);
        return false;
    }
    void give(std::size_t size) noexcept {
        held_.fetch_sub(size, std::memory_order_relaxed);
    }
    std::size_t held() const noexcept {
        return held_.load(std::memory_order_relaxed);
    }

private:
    std::atomic<std::size_t> held_{0};
    const std::size_t most_;
};

class RecordBytes {
public:
    // The budget outlives this object. Of what is added, `most` bytes are
    // kept.
    RecordBytes(RecordBudget &budget, std::size_t most) noexcept
        : budget_{budget}, most_{most} {}
    ~RecordBytes() { drop(); }
    RecordBytes(const RecordBytes &) = delete;
    RecordBytes &operator=(const RecordBytes &) = delete;

    void append(std::string_view piece) noexcept;

    // Counts bytes that are not shown.
    void skip(std::uint64_t size) noexcept { seen_ += size; }

    // Of what is added, this much would be kept now.
    std::size_t room() const noexcept { return most_ - kept_; }

    // Gives the memory back, and keeps nothing from now on.
    void drop() noexcept;

    // Begins anew, with nothing.
    void restart(std::size_t most) noexcept {
        drop();
        most_ = most;
        seen_ = 0;
        over_budget_ = false;
    }

    // Bytes that were added, kept or not.
    std::uint64_t seen() const noexcept { return seen_; }

    bool is_truncated() const noexcept { return kept_ < seen_; }

    // There was no memory for it; nothing is kept.
    bool is_over_budget() const noexcept { return over_budget_; }

    // Calls visit(piece) for what was kept, until it returns false.
    template <typename Visit>
    void for_each(Visit visit) const noexcept {
        for (auto *chunk = first_; chunk != nullptr; chunk = chunk->next) {
            if (!visit(std::string_view{chunk->bytes(), chunk->size})) {
                return;
            }
        }
    }

private:
    struct Chunk {
        Chunk *next;
        std::size_t size;
        std::size_t room;

        char *bytes() noexcept { return reinterpret_cast<char *>(this + 1); }
    };

    Chunk *more_room() noexcept;

    RecordBudget &budget_;
    std::size_t most_;
    std::size_t kept_ = 0;
    std::uint64_t seen_ = 0;
    Chunk *first_ = nullptr;
    Chunk *last_ = nullptr;
    bool over_budget_ = false;
};

}  // namespace keystile
