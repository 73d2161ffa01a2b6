// Counters and limits in memory that processes share: a zone.
//
// A zone hands out memory from its beginning to its end and takes none back,
// but for reservations, which are used again: nothing that is counted is ever
// evicted. What there is no room for is refused with a null, and counted in
// full() by the function that refuses it.
//
// Functions marked [locked] require that the caller holds the zone's lock.
// Series and Presence are written only by the process in whose place they
// were made and can be read by anyone at any time. A process may be killed at
// any point, with the lock held too: what it was about to link is lost, and
// no more.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string_view>

#include "denial.hpp"
#include "figures.hpp"
#include "histogram.hpp"
#include "limit.hpp"
#include "model_name.hpp"
#include "record_loss.hpp"
#include "save_turn.hpp"

namespace keystile {

// A number with one writer and any readers.
class Count {
public:
    void add(std::uint64_t n) noexcept {
        std::uint64_t sum;
        bool is_over = __builtin_add_overflow(get(), n, &sum);
        set(is_over ? ~std::uint64_t{0} : sum);
    }
    void subtract(std::uint64_t n) noexcept { set(get() - n); }
    void set(std::uint64_t n) noexcept {
        value_.store(n, std::memory_order_relaxed);
    }
    std::uint64_t get() const noexcept {
        return value_.load(std::memory_order_relaxed);
    }

private:
    std::atomic<std::uint64_t> value_{0};
};

// What one process has counted of one client and one model.
struct alignas(64) Series {
    std::array<Count, kFigures> figures;
    ModelName model;  // empty: not known
    std::uint16_t place;
    Series *next;  // of the client
};

// What one process has to do with one client.
struct alignas(64) Presence {
    Count open;  // requests and sockets
    std::array<Count, kDenials> refusals;
    std::uint16_t place;
    Presence *next;        // of the client
    Presence *same_place;  // of the place, but for place 0
};

// What a limit of a client has counted. Apart from the limit's maximum, so
// that a maximum can change.
struct LimitState {
    LimitKind kind;
    LimitPeriod per;
    ModelName model;         // the pattern
    std::int64_t window;     // in which `used` was: when it began
    std::uint64_t used;      // requests, tokens or Picodollars
    std::uint64_t reserved;  // tokens, Picodollars, or what is open
    std::uint64_t recount;   // in which leave() `reserved` was last reckoned
    LimitState *next;        // of the client

    // What is used of the window that `now` is in. Processes don't read the
    // clock at the same moment: the window after it passes for it, too.
    std::uint64_t used_at(std::int64_t now) const noexcept;
};

struct ClientRecord {
    std::string_view set;  // in the zone; both empty: callers without a key
    std::string_view id;
    std::atomic<Series *> series;
    std::atomic<Presence *> presences;
    LimitState *limits;                // [locked]
    std::atomic<ClientRecord *> next;  // of all, oldest first
    ClientRecord *same_hash;           // [locked]
    std::uint32_t number;              // from 1
    std::uint8_t models;               // [locked] that have a name
};

// A part of LimitState::reserved, which a process is to give back.
struct Hold {
    LimitState *state;  // null: not in use
    std::uint64_t amount;
    std::uint16_t place;
    Hold *next;      // of the free ones
    Hold *all_next;  // of all
};

// What a turn may come to, before it is known, and what it came to.
struct Spending {
    std::uint64_t tokens = 0;
    Picodollars cost = 0;
};

// What is set aside for one turn, or for one stream as long as it is open.
// In a process's own memory; to be given back exactly once, by settle().
class Reservation {
public:
    struct Part {
        LimitState *state;
        Hold *hold;           // null for requests, which are counted at once
        std::int64_t window;  // of a request that was counted
    };

    Reservation() noexcept = default;
    Reservation(const Reservation &) = delete;
    Reservation &operator=(const Reservation &) = delete;

    // Memory for a part of each limit, which outlives it; needed where there
    // are limits.
    void set_room(std::span<Part> parts) noexcept { parts_ = parts; }
    std::span<Part> room() const noexcept { return parts_; }

    bool empty() const noexcept { return size_ == 0; }

private:
    friend class MeterZone;
    std::span<Part> parts_;
    std::uint8_t size_ = 0;
    std::uint16_t place_ = 0;
};

class MeterZone {
public:
    static constexpr std::size_t kLeastSize = std::size_t{64} * 1024;
    static constexpr unsigned kMostPlaces = 1024;
    static constexpr unsigned kMostModels = 64;  // of a client
    static constexpr std::string_view kOtherModels = "other";
    static constexpr std::size_t kLongestName = 4096;  // of a set or client

    // Makes a zone of zeroed memory, aligned to 64 bytes and of kLeastSize or
    // more, that is at the same address in all processes. Null for any other.
    static MeterZone *create(std::span<std::byte> memory,
                             std::int64_t now) noexcept;

    // [locked] Gives this process a place of its own: places are numbered
    // from 1. 0 if there is none. Place 0 belongs to what was counted before
    // the zone was made (a state file). A place that has that pid already is
    // that of a process that is gone, and left first.
    std::uint16_t enter(std::int32_t pid) noexcept;

    // [locked] The process of that place is gone: what it had reserved or
    // open is given back, and the place is free. What it had counted stays.
    // If it is this process that goes, it touches no Presence after that; to
    // settle() what it had reserved is harmless.
    void leave(std::uint16_t place) noexcept;

    // [locked] Calls leave() for each place whose process `is_alive(pid)`
    // says is none; returns how many.
    template <typename IsAlive>
    unsigned leave_dead(IsAlive is_alive) noexcept {
        unsigned left = 0;
        for (std::uint16_t n = 1; const auto *place = place_of(n); n++) {
            auto pid = place->pid.load(std::memory_order_relaxed);
            if (pid != 0 && !is_alive(pid)) {
                leave(n);
                left++;
            }
        }
        return left;
    }

    // [locked] The record of a client, made when there is none. Null when the
    // zone is full, or a name is longer than kLongestName.
    ClientRecord *client(std::string_view set, std::string_view id) noexcept;

    // [locked] The series of that model and place, made when there is none.
    // A client has kMostModels at most: others are counted as kOtherModels,
    // which is not one of them, nor is the empty name. What is no ModelName
    // is the empty name. Null when the zone is full.
    Series *series(ClientRecord &client, std::string_view model,
                   std::uint16_t place) noexcept;
    Presence *presence(ClientRecord &client, std::uint16_t place) noexcept;

    // [locked] The state of a limit, made when there is none. Null when full.
    LimitState *limit_state(ClientRecord &client, const Limit &limit) noexcept;

    // Which limits of a client a reservation is about.
    enum class Scope : std::uint8_t {
        stream,  // concurrent ones of all models: as long as it is open
        turn,    // all others
        both,
    };

    // [locked] Sets aside what `estimate` says of each limit in scope that
    // applies to the model, or of none and says why: a limit whose use and
    // reservations have reached its maximum; if there are several, one that
    // is spent, and of those the one that resets last. A limit on a model
    // applies to names that match it, never to the empty one. `states` are
    // those of `limits`, one for one; there are kMostLimits at most. `held`
    // must be empty, with room for each.
    std::optional<UsedUp> reserve(std::span<const Limit> limits,
                                  std::span<LimitState *const> states,
                                  Scope scope, std::string_view model,
                                  const Spending &estimate, std::int64_t now,
                                  std::uint16_t place,
                                  Reservation &held) noexcept;

    // Whether reserve() would find room, without setting anything aside.
    // [locked]
    static std::optional<UsedUp> find_used_up(
        std::span<const Limit> limits, std::span<LimitState *const> states,
        std::string_view model, std::int64_t now) noexcept;

    // [locked] Gives back what was set aside and counts what was used
    // instead. `was_sent`: the turn reached the provider; else it does not
    // count as a request either. Empties `held`; does nothing if it is empty.
    void settle(Reservation &held, bool was_sent, const Spending &used,
                std::int64_t now) noexcept;

    // [locked] Counts what was used in the limits on its model that `held` has
    // no part of: the turn was to ask another. Before settle().
    static void charge_others(std::span<const Limit> limits,
                              std::span<LimitState *const> states,
                              std::string_view model, const Reservation &held,
                              const Spending &used, std::int64_t now) noexcept;

    // [locked] Counts a turn that nothing was set aside for.
    static void charge(std::span<const Limit> limits,
                       std::span<LimitState *const> states,
                       std::string_view model, bool was_sent,
                       const Spending &used, std::int64_t now) noexcept;

    // [locked] What settle() should count where nobody knows what was used:
    // what was set aside.
    static Spending reserved(const Reservation &held) noexcept;

    // For reports and the state file.
    ClientRecord *first_client() const noexcept;
    std::size_t client_count() const noexcept;
    std::size_t size() const noexcept;
    std::size_t free() const noexcept;  // bytes that were never handed out
    std::uint64_t full() const noexcept;
    void note_full() noexcept;
    unsigned processes() const noexcept;
    std::int64_t counted_since() const noexcept;
    void set_counted_since(std::int64_t when) noexcept;

    // Times of all turns. By place, so each has one writer: null for a place
    // that is not taken, or that the zone had no room for times for.
    struct alignas(64) Times {
        std::array<Count, FirstTokenHistogram::kBuckets> first_token;
        Count first_token_milliseconds;
        std::array<Count, DurationHistogram::kBuckets> duration;
        Count duration_milliseconds;
    };
    Times *times(std::uint16_t place) noexcept;
    FirstTokenHistogram first_token() const noexcept;  // sums
    DurationHistogram duration() const noexcept;

    // It is of no configuration any more: another zone has taken over what it
    // had counted, or that is saved. What it still counts is not.
    std::atomic<bool> retired{false};

    // Which state files are those of the newest configuration: by a number,
    // as Zone has it. Who has others does not save.
    std::atomic<std::uint64_t> files{0};

    // Something changed that the state file does not have yet. Set by who
    // counts; a line that all read, so written only when it is not set.
    std::atomic<bool> changed{false};

    // Of the state files (state_generation.hpp): the last generation that was
    // written whole, and the last that was begun.
    SaveTurn save_turn;
    std::atomic<std::int64_t> saved_at{0};
    std::atomic<std::uint64_t> save_generation{0};
    std::atomic<std::uint64_t> begun_generation{0};
    std::atomic<std::uint64_t> save_failures{0};
    // Why not, as far as the log has it: a bit for each reason.
    std::atomic<unsigned> unsaved_said{0};
    // Not all that is in its files had room when they were read.
    std::atomic<bool> lacks_room{false};
    std::array<std::atomic<std::uint64_t>, kRecordLosses> records{};

private:
    struct Place {
        std::atomic<std::int32_t> pid{0};  // 0: free
        std::atomic<Times *> times{nullptr};
        Presence *presences = nullptr;  // [locked]
    };
    static constexpr std::size_t kPlacesAtOnce = 32;
    using Places = std::array<Place, kPlacesAtOnce>;
    using Bucket = std::atomic<ClientRecord *>;

    MeterZone(std::size_t size, std::int64_t now) noexcept;

    // Null for place 0, and behind the last place that there ever was.
    Place *place_of(std::uint16_t place) const noexcept;
    Place *make_places(std::uint16_t first) noexcept;
    template <typename Visit>
    void for_each_times(Visit visit) const noexcept;

    void *take(std::size_t bytes) noexcept;
    template <typename T>
    T *make() noexcept {
        void *memory = take(sizeof(T));
        return memory == nullptr ? nullptr : new (memory) T{};
    }

    Bucket &bucket_of(std::string_view set, std::string_view id) noexcept;
    void finish_client() noexcept;

    static std::optional<UsedUp> find_used_up(
        std::span<const Limit> limits, std::span<LimitState *const> states,
        Scope scope, std::string_view model, std::int64_t now) noexcept;
    bool set_aside(LimitState &state, const Spending &estimate,
                   std::int64_t now, Reservation &held) noexcept;
    Hold *take_hold() noexcept;
    void free_hold(Hold &hold) noexcept;
    void free_holds_of(std::uint16_t place) noexcept;

    std::size_t size_;
    std::atomic<std::size_t> used_;
    std::atomic<std::uint64_t> full_{0};
    std::atomic<std::int64_t> counted_since_;
    std::span<Bucket> buckets_;  // a power of two
    std::atomic<ClientRecord *> first_client_{nullptr};
    std::atomic<ClientRecord *> last_client_{nullptr};  // that can be found
    std::atomic<Hold *> holds_{nullptr};
    Hold *free_hold_ = nullptr;
    std::uint64_t recounts_ = 0;
    Times *restored_times_;  // of place 0
    std::array<std::atomic<Places *>, kMostPlaces / kPlacesAtOnce> places_{};
};

}  // namespace keystile
