// Which of the processes of a zone writes its state file now.

#pragma once

#include <atomic>
#include <cstdint>

namespace keystile {

// In shared memory. A process that is killed leaves its turn behind, and one
// that hangs keeps it, so whoever has it asks again and again whether it still
// has.
class SaveTurn {
public:
    static constexpr std::int64_t kLongest = 300;  // seconds without a keep()

    // Makes it the turn of process `pid`; false where it is another's, unless
    // `is_gone(pid)` says that there is none. A pid may be another process's
    // by now, so time tells, too.
    template <typename IsGone>
    bool take(std::int32_t pid, std::int64_t now, IsGone is_gone) noexcept {
        auto other = pid_.load();
        if (other != 0 && other != pid && now - since_.load() <= kLongest &&
            !is_gone(other)) {
            return false;
        }
        // Before the pid: nobody is to see that with the time of another.
        since_.store(now);
        return pid_.compare_exchange_strong(other, pid);
    }

    // False when it is not the turn of `pid` any more.
    bool keep(std::int32_t pid, std::int64_t now) noexcept {
        if (pid_.load() != pid) {
            return false;
        }
        since_.store(now);
        return true;
    }

    // Leaves that of another alone.
    void end(std::int32_t pid) noexcept {
        pid_.compare_exchange_strong(pid, 0);
    }

private:
    std::atomic<std::int32_t> pid_{0};  // 0: nobody's
    std::atomic<std::int64_t> since_{0};
};

}  // namespace keystile
