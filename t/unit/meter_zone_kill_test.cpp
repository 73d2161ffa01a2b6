// A zone that several processes use at once, and in which they are killed.

#include <gtest/gtest.h>
#include <sys/ptrace.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <random>

#include "meter_sums.hpp"
#include "shared_zone.hpp"

namespace keystile {
namespace {

using Scope = MeterZone::Scope;
constexpr auto kNow = SharedZone::kNow;
constexpr std::uint64_t kPlenty = 1'000'000'000;

std::optional<UsedUp> reserve(MeterZone &zone, Limited &limited,
                              const Spending &estimate, std::uint16_t place,
                              Reservation &held) {
    return zone.reserve(limited.limits, limited.states, Scope::both, "gpt-5",
                        estimate, kNow, place, held);
}

TEST(MeterZoneKill, ALimitAdmitsExactlyAsManyAsItSays) {
    for (auto kind : {LimitKind::requests, LimitKind::tokens, LimitKind::usd,
                      LimitKind::concurrent}) {
        SharedZone zone;
        auto per = kind == LimitKind::concurrent ? LimitPeriod::none
                                                 : LimitPeriod::day;
        Limited limited{
            *zone, *zone->client("team", "a"), {{kind, per, 10, {}}}};
        auto *admitted = new (SharedZone::map(64)) std::atomic<int>{0};
        auto *ready = new (SharedZone::map(64)) std::atomic<int>{0};
        std::vector<pid_t> children;
        for (int i = 0; i < 4; i++) {
            children.push_back(in_child([&] {
                zone.lock();
                auto place = zone->enter(getpid());
                zone.unlock();
                ready->fetch_add(1);
                while (ready->load() < 4) {
                }
                std::array<Roomy, 16> held;
                for (auto &one : held) {
                    zone.lock();
                    bool has_room =
                        !reserve(*zone, limited, {1, 1}, place, one);
                    zone.unlock();
                    admitted->fetch_add(has_room);
                }
            }));
        }
        for (auto child : children) {
            waitpid(child, nullptr, 0);
        }
        EXPECT_EQ(admitted->load(), 10);
        EXPECT_EQ(limited.states[0]->used + limited.states[0]->reserved, 10U);
        EXPECT_EQ(zone->leave_dead([](std::int32_t) { return false; }), 4U);
        EXPECT_EQ(limited.states[0]->reserved, 0U);
        munmap(admitted, 64);
        munmap(ready, 64);
    }
}

// What a turn was, for those that came to their end, kept by the tests.
struct Kept {
    std::uint64_t requests;
    std::uint64_t tokens;
    std::uint64_t cost;
    std::uint64_t turns;
};

struct Schedule {
    SharedZone &zone;
    Limited &limited;
    ClientRecord &client;
    Kept &kept;

    // Turns that start and end at random. Ends with the process killed,
    // inside of the lock or outside, or with all that is open left as it is.
    void run(unsigned seed) {
        std::minstd_rand random{seed};
        zone.lock();
        auto place = zone->enter(getpid());
        auto *presence = zone->presence(client, place);
        auto *series = zone->series(client, "gpt-5", place);
        zone.unlock();
        auto steps = random() % 200;
        for (unsigned step = 0; step < steps; step++) {
            auto &held = held_[random() % held_.size()];
            zone.lock();
            held.empty() ? start(held, random, place, *presence)
                         : finish(held, random, *presence, *series);
            zone.unlock();
        }
        auto end = random() % 3;
        if (end == 0) {
            zone.lock();
        }
        if (end < 2) {
            raise(SIGKILL);
        }
        zone.lock();
        zone->leave(place);
        zone.unlock();
    }

    void start(Reservation &held, std::minstd_rand &random,
               std::uint16_t place, Presence &presence) {
        Spending estimate{random() % 100, random() % 1000};
        if (!reserve(*zone, limited, estimate, place, held)) {
            presence.open.add(1);
            kept.requests++;
        }
    }

    void finish(Reservation &held, std::minstd_rand &random,
                Presence &presence, Series &series) {
        auto kind = random() % 3;  // not sent, usage known, unknown
        Spending used;
        if (kind == 1) {
            used = {random() % 50, random() % 500};
        } else if (kind == 2) {
            used = MeterZone::reserved(held);
        }
        zone->settle(held, kind != 0, used, kNow);
        presence.open.add(~std::uint64_t{0});
        series.figures[0].add(1);
        kept.requests -= kind == 0;
        kept.tokens += used.tokens;
        kept.cost += used.cost;
        kept.turns++;
    }

    std::array<Roomy, 6> held_{};
};

TEST(MeterZoneKill, WhateverHappensNothingStaysReserved) {
    SharedZone zone;
    auto &client = *zone->client("team", "a");
    Limited limited{*zone,
                    client,
                    {{LimitKind::requests, LimitPeriod::day, kPlenty, {}},
                     {LimitKind::tokens, LimitPeriod::day, kPlenty, {}},
                     {LimitKind::usd, LimitPeriod::month, kPlenty, {}},
                     {LimitKind::concurrent, LimitPeriod::none, 9, {}}}};
    auto &kept = *new (SharedZone::map(sizeof(Kept))) Kept{};
    std::size_t left = 0;
    for (unsigned round = 0; round < 60; round++) {
        std::vector<pid_t> children;
        for (unsigned i = 0; i < 3; i++) {
            children.push_back(in_child([&] {
                Schedule{zone, limited, client, kept}.run(round * 3 + i + 1);
            }));
        }
        for (auto child : children) {
            waitpid(child, nullptr, 0);
        }
        zone.lock();
        zone->leave_dead([](std::int32_t) { return false; });
        zone.unlock();
        for (const auto *state : limited.states) {
            ASSERT_EQ(state->reserved, 0U) << round;
        }
        ASSERT_EQ(count_open(client), 0U);
        left = round == 9 ? zone->free() : left;
    }
    EXPECT_EQ(zone->processes(), 0U);
    EXPECT_EQ(zone->free(), left) << "places and holds are used again";
    EXPECT_GT(kept.turns, 1000U);
    EXPECT_EQ(limited.states[0]->used, kept.requests);
    EXPECT_EQ(limited.states[1]->used, kept.tokens);
    EXPECT_EQ(limited.states[2]->used, kept.cost);
    for_each_model(client, [&](std::string_view, const Totals &totals) {
        EXPECT_EQ(totals[Figure::requests], kept.turns);
    });
    munmap(&kept, sizeof(Kept));
}

// Runs `work` in a child, one instruction after another, and calls look()
// while it stands still between two. False where nobody may.
template <typename Work, typename Look>
bool step_through(Work work, Look look) {
    auto child = in_child([&] {
        if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) {
            _exit(1);
        }
        raise(SIGSTOP);
        work();
        raise(SIGSTOP);
        _exit(0);
    });
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFSTOPPED(status)) {
        return false;
    }
    bool may = true;
    bool goes_on = true;
    while (goes_on && may) {
        may = ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) == 0;
        waitpid(child, &status, 0);
        goes_on = WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP;
        look();
    }
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    return may;
}

class EachInstruction : public testing::Test {
protected:
    EachInstruction() {
        EXPECT_FALSE(reserve(*zone_, limited_, {7, 8}, survivor_, kept_));
        zone_->presence(client_, survivor_)->open.add(1);
    }

    // That the zone is sound if the process of place 1 is killed now. Whoever
    // comes next does what it did, and the zone is put back as it was.
    template <typename Work>
    void look(Work work) {
        auto memory = zone_.memory();
        if (memcmp(memory.data(), seen_.data(), memory.size()) == 0) {
            return;
        }
        seen_.assign(memory.begin(), memory.end());
        zone_->leave_dead([](std::int32_t pid) { return pid == 102; });
        ASSERT_EQ(limited_.states[0]->reserved, 7U);
        ASSERT_EQ(limited_.states[1]->reserved, 1U);
        ASSERT_EQ(count_open(client_), 1U);
        work();
        zone_->leave(killed_);
        ASSERT_EQ(limited_.states[0]->reserved, 7U);
        auto left = zone_->free();
        work();
        ASSERT_EQ(zone_->free(), left) << "holds were lost";
        check_clients();
        zone_->leave(killed_);
        zone_->leave(survivor_);
        ASSERT_EQ(limited_.states[0]->reserved, 0U);
        ASSERT_EQ(limited_.states[1]->reserved, 0U);
        ASSERT_EQ(count_open(client_), 0U);
        std::copy(seen_.begin(), seen_.end(), memory.begin());
        moments_++;
    }

    void check_clients() {
        for (int i = 0; i < 40; i++) {
            ASSERT_NE(zone_->client("new", std::to_string(i)), nullptr);
        }
        std::size_t count = 0;
        for (auto *c = zone_->first_client(); c != nullptr; c = c->next) {
            ASSERT_EQ(zone_->client(c->set, c->id), c) << c->id;
            count++;
        }
        ASSERT_EQ(zone_->client_count(), count);
    }

    template <typename Work>
    void kill_in(Work work) {
        seen_.assign(zone_.memory().size(), std::byte{1});
        if (!step_through(work, [&] {
                if (!HasFatalFailure()) {
                    look(work);
                }
            })) {
            GTEST_SKIP() << "no ptrace here";
        }
        EXPECT_GT(moments_, 10U);
    }

    SharedZone zone_{MeterZone::kLeastSize};
    ClientRecord &client_{*zone_->client("team", "a")};
    Limited limited_{*zone_,
                     client_,
                     {{LimitKind::tokens, LimitPeriod::day, 1000, {}},
                      {LimitKind::concurrent, LimitPeriod::none, 10, {}},
                      {LimitKind::requests, LimitPeriod::day, 1000, {}}}};
    std::uint16_t killed_{zone_->enter(101)};
    std::uint16_t survivor_{zone_->enter(102)};
    Roomy kept_;
    std::vector<std::byte> seen_;
    unsigned moments_ = 0;
};

TEST_F(EachInstruction, OfReserveAndSettle) {
    kill_in([this] {
        std::array<Roomy, 2> held;
        reserve(*zone_, limited_, {20, 0}, killed_, held[0]);
        reserve(*zone_, limited_, {30, 0}, killed_, held[1]);
        zone_->settle(held[0], true, {5, 0}, kNow);
        zone_->settle(held[1], false, {}, kNow);
    });
}

TEST_F(EachInstruction, OfLeave) {
    Roomy held;
    reserve(*zone_, limited_, {20, 0}, killed_, held);
    kill_in([this] {
        zone_->leave(killed_);
        zone_->enter(101);
        Roomy again;
        reserve(*zone_, limited_, {20, 0}, killed_, again);
    });
}

TEST_F(EachInstruction, OfWhatIsMade) {
    kill_in([this] {
        zone_->enter(101);
        for (auto id : {"b", "c"}) {
            auto *client = zone_->client("team", id);
            if (client == nullptr) {
                return;
            }
            zone_->presence(*client, killed_);
            zone_->series(*client, "gpt-5", killed_);
            zone_->limit_state(*client, limited_.limits[0]);
        }
        if (auto *presence = zone_->presence(client_, killed_)) {
            presence->open.set(1);
        }
    });
}

}  // namespace
}  // namespace keystile
