// A zone in memory that the test and its children share, under a lock that
// outlives whoever is killed with it.

#pragma once

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "meter_zone.hpp"
#include "text_sink.hpp"

namespace keystile {

class SharedZone {
public:
    static constexpr std::int64_t kNow = 1'800'000'000;

    explicit SharedZone(std::size_t size = 1 << 20)
        : size_{size},
          memory_{map(size)},
          lock_{new (map(sizeof(pthread_mutex_t))) pthread_mutex_t},
          zone_{MeterZone::create({memory_, size}, kNow)} {
        pthread_mutexattr_t kind;
        pthread_mutexattr_init(&kind);
        pthread_mutexattr_setpshared(&kind, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(lock_, &kind);
        pthread_mutexattr_destroy(&kind);
    }
    ~SharedZone() {
        munmap(memory_, size_);
        munmap(lock_, sizeof(pthread_mutex_t));
    }
    SharedZone(const SharedZone &) = delete;
    SharedZone &operator=(const SharedZone &) = delete;

    MeterZone *operator->() const { return zone_; }
    MeterZone &operator*() const { return *zone_; }
    std::span<std::byte> memory() const { return {memory_, size_}; }

    void lock() {
        if (pthread_mutex_lock(lock_) == EOWNERDEAD) {
            pthread_mutex_consistent(lock_);
        }
    }
    void unlock() { pthread_mutex_unlock(lock_); }

    static std::byte *map(std::size_t size) {
        return static_cast<std::byte *>(
            mmap(nullptr, size, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    }

private:
    std::size_t size_;
    std::byte *memory_;
    pthread_mutex_t *lock_;
    MeterZone *zone_;
};

// Runs `work` in a process of its own, which ends with it.
template <typename Work>
pid_t in_child(Work work) {
    auto pid = fork();
    if (pid == 0) {
        work();
        _exit(0);
    }
    return pid;
}

// A reservation with room for as many limits as there can be.
struct Roomy : Reservation {
    Roomy() { set_room(parts); }
    std::array<Part, kMostLimits> parts;
};

// What a client may use, with its states.
struct Limited {
    Limited(MeterZone &zone, ClientRecord &client, std::vector<Limit> all)
        : limits{std::move(all)} {
        for (const auto &limit : limits) {
            states.push_back(zone.limit_state(client, limit));
        }
    }
    std::vector<Limit> limits;
    std::vector<LimitState *> states;
};

struct StringSink final : TextSink {
    void put(std::string_view piece) noexcept override { text += piece; }
    std::string text;
};

}  // namespace keystile
