// What MeterZone reserves and settles, in one process.

#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "limit_period.hpp"
#include "meter_sums.hpp"
#include "shared_zone.hpp"

namespace keystile {
namespace {

using Scope = MeterZone::Scope;
constexpr auto kNow = SharedZone::kNow;
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

class LimitCounting : public testing::Test {
protected:
    void limit(std::vector<Limit> all) {
        limited_.emplace(*zone_, client_, std::move(all));
    }

    std::optional<UsedUp> reserve(Reservation &held, Spending estimate = {},
                                  std::string_view model = "gpt-5",
                                  Scope scope = Scope::both,
                                  std::int64_t now = kNow) {
        return zone_->reserve(limited_->limits, limited_->states, scope, model,
                              estimate, now, place_, held);
    }
    bool admits(Reservation &held, Spending estimate = {},
                std::string_view model = "gpt-5", Scope scope = Scope::both,
                std::int64_t now = kNow) {
        return !reserve(held, estimate, model, scope, now).has_value();
    }
    std::optional<UsedUp> find_used_up(std::int64_t now = kNow) {
        return MeterZone::find_used_up(limited_->limits, limited_->states, {},
                                       now);
    }
    LimitState &state(std::size_t i) { return *limited_->states[i]; }

    SharedZone zone_;
    ClientRecord &client_{*zone_->client("team", "a")};
    std::uint16_t place_{zone_->enter(101)};
    std::optional<Limited> limited_;
};

TEST_F(LimitCounting, ALimitIsItsKindPeriodAndModel) {
    std::set<LimitState *> states;
    for (auto kind : {LimitKind::requests, LimitKind::tokens}) {
        for (auto per : {LimitPeriod::day, LimitPeriod::week}) {
            for (std::string_view model : {"", "gpt-5*", "gpt-5"}) {
                Limit limit{kind, per, 5, model};
                auto *made = zone_->limit_state(client_, limit);
                EXPECT_TRUE(states.insert(made).second);
                limit.most = 7;
                EXPECT_EQ(zone_->limit_state(client_, limit), made);
            }
        }
    }
}

TEST_F(LimitCounting, RequestsAreCountedAtOnce) {
    limit({{LimitKind::requests, LimitPeriod::minute, 2, {}}});
    Roomy a;
    Roomy b;
    Roomy c;
    EXPECT_TRUE(admits(a));
    EXPECT_TRUE(admits(b));
    auto used_up = reserve(c);
    ASSERT_TRUE(used_up.has_value());
    EXPECT_EQ(used_up->limit, &limited_->limits[0]);
    EXPECT_EQ(used_up->used, 2U);
    EXPECT_TRUE(used_up->is_spent);
    EXPECT_EQ(used_up->resets_at, period_end(LimitPeriod::minute, kNow));
    EXPECT_TRUE(c.empty());

    zone_->settle(a, true, {}, kNow);
    EXPECT_EQ(state(0).used_at(kNow), 2U);
    zone_->settle(b, false, {}, kNow);
    EXPECT_EQ(state(0).used_at(kNow), 1U);
    zone_->settle(b, false, {}, kNow);
    EXPECT_EQ(state(0).used_at(kNow), 1U);
    EXPECT_TRUE(admits(c));
}

TEST_F(LimitCounting, ARequestThatWasNotSentIsTakenOffItsOwnWindow) {
    limit({{LimitKind::requests, LimitPeriod::minute, 5, {}}});
    Roomy a;
    Roomy b;
    EXPECT_TRUE(admits(a));
    EXPECT_TRUE(admits(b, {}, "gpt-5", Scope::both, kNow + 60));
    zone_->settle(a, false, {}, kNow + 60);
    EXPECT_EQ(state(0).used_at(kNow + 60), 1U);
}

TEST_F(LimitCounting, TokensAreReservedAndThenCounted) {
    limit({{LimitKind::tokens, LimitPeriod::day, 100, {}},
           {LimitKind::usd, LimitPeriod::month, 1000, {}}});
    Roomy a;
    Roomy b;
    Roomy c;
    EXPECT_TRUE(admits(a, {60, 500}));
    EXPECT_TRUE(admits(b, {60, 400}));  // 60 of 100 were used before it
    EXPECT_EQ(state(0).reserved, 120U);
    EXPECT_EQ(state(1).reserved, 900U);
    EXPECT_EQ(MeterZone::reserved(a).tokens, 60U);
    EXPECT_EQ(MeterZone::reserved(a).cost, 500U);
    EXPECT_EQ(reserve(c)->limit, &limited_->limits[0]);
    EXPECT_EQ(reserve(c)->used, 120U);

    zone_->settle(a, true, {10, 20}, kNow);
    EXPECT_TRUE(a.empty());
    EXPECT_EQ(state(0).used, 10U);
    EXPECT_EQ(state(0).reserved, 60U);
    EXPECT_EQ(state(1).used, 20U);
    zone_->settle(a, true, {10, 20}, kNow);
    EXPECT_EQ(state(0).used, 10U);
    EXPECT_TRUE(admits(c));
    EXPECT_EQ(MeterZone::reserved(c).tokens, 1U);  // an estimate of nothing
    zone_->settle(b, false, {}, kNow);
    zone_->settle(c, true, {kMost, kMost}, kNow);
    EXPECT_EQ(state(0).used, kMost);
    EXPECT_EQ(state(0).reserved, 0U);
    EXPECT_EQ(find_used_up()->used, kMost);
}

TEST_F(LimitCounting, WhatIsOpenCountsUntilItIsSettled) {
    limit({{LimitKind::concurrent, LimitPeriod::none, 2, {}}});
    Roomy a;
    Roomy b;
    Roomy c;
    EXPECT_TRUE(admits(a, {}, "", Scope::stream));
    EXPECT_TRUE(admits(b, {}, "", Scope::stream));
    EXPECT_EQ(reserve(c)->used, 2U);
    EXPECT_EQ(reserve(c)->resets_at, 0);
    EXPECT_EQ(MeterZone::reserved(a).tokens, 0U);
    zone_->settle(a, true, {5, 5}, kNow);
    EXPECT_EQ(state(0).used, 0U);
    EXPECT_TRUE(admits(c));
}

TEST_F(LimitCounting, AScopeIsAPartOfTheLimits) {
    limit({{LimitKind::concurrent, LimitPeriod::none, 9, {}},
           {LimitKind::concurrent, LimitPeriod::none, 9, "gpt*"},
           {LimitKind::tokens, LimitPeriod::day, 9, {}}});
    Roomy stream;
    Roomy turn;
    Roomy both;
    EXPECT_TRUE(admits(stream, {}, "gpt-5", Scope::stream));
    EXPECT_EQ(state(0).reserved, 1U);
    EXPECT_EQ(state(1).reserved + state(2).reserved, 0U);
    EXPECT_TRUE(admits(turn, {}, "gpt-5", Scope::turn));
    EXPECT_EQ(state(0).reserved, 1U);
    EXPECT_EQ(state(1).reserved, 1U);
    EXPECT_EQ(state(2).reserved, 1U);
    EXPECT_TRUE(admits(both));
    EXPECT_EQ(state(0).reserved, 2U);
    EXPECT_EQ(state(2).reserved, 2U);
}

TEST_F(LimitCounting, ALimitOnAModelIsForWhatMatches) {
    limit({{LimitKind::tokens, LimitPeriod::day, 1, "gpt-5*"}});
    Roomy a;
    Roomy b;
    EXPECT_TRUE(admits(a, {}, "GPT-5-mini"));
    EXPECT_FALSE(a.empty());
    EXPECT_FALSE(admits(b, {}, "gpt-5"));
    EXPECT_FALSE(find_used_up().has_value());
    EXPECT_TRUE(admits(b, {}, "o4"));
    EXPECT_TRUE(b.empty());
    limit({{LimitKind::tokens, LimitPeriod::day, 1, "*"}});
    EXPECT_TRUE(admits(b, {}, ""));
    EXPECT_TRUE(b.empty());
}

TEST_F(LimitCounting, NothingIsSetAsideWhenOneIsUsedUp) {
    limit({{LimitKind::requests, LimitPeriod::minute, 5, {}},
           {LimitKind::tokens, LimitPeriod::month, 5, {}},
           {LimitKind::tokens, LimitPeriod::day, 5, {}},
           {LimitKind::concurrent, LimitPeriod::none, 1, {}}});
    Roomy a;
    Roomy b;
    EXPECT_TRUE(admits(a, {5, 0}));
    auto used_up = reserve(b, {5, 0});
    EXPECT_EQ(used_up->limit, &limited_->limits[1]);  // resets last
    EXPECT_EQ(used_up->resets_at, period_end(LimitPeriod::month, kNow));
    EXPECT_EQ(find_used_up()->limit, used_up->limit);
    EXPECT_TRUE(b.empty());
    EXPECT_EQ(state(0).used, 1U);
    EXPECT_EQ(state(1).reserved, 5U);
    zone_->settle(b, true, {9, 9}, kNow);
    EXPECT_EQ(state(1).used, 0U);
}

// What is only set aside may be given back, and is no reason to give up.
TEST_F(LimitCounting, WhatIsSpentIsToldFromWhatIsSetAside) {
    limit({{LimitKind::tokens, LimitPeriod::minute, 10, {}},
           {LimitKind::tokens, LimitPeriod::day, 20, {}},
           {LimitKind::tokens, LimitPeriod::month, 30, {}}});
    Roomy a;
    Roomy b;
    EXPECT_TRUE(admits(a, {50, 0}));
    auto held = reserve(b, {1, 0});
    EXPECT_EQ(held->limit, &limited_->limits[2]);  // resets last
    EXPECT_FALSE(held->is_spent);
    EXPECT_EQ(held->used, 50U);

    auto charge = [this](std::uint64_t tokens) {
        MeterZone::charge(limited_->limits, limited_->states, "", true,
                          {tokens, 0}, kNow);
    };
    charge(9);
    EXPECT_FALSE(find_used_up()->is_spent);
    charge(1);
    EXPECT_EQ(find_used_up()->limit, &limited_->limits[0]);
    EXPECT_TRUE(find_used_up()->is_spent);
    charge(10);
    EXPECT_EQ(find_used_up()->limit, &limited_->limits[1]);
    zone_->settle(a, true, {10, 0}, kNow);
    EXPECT_EQ(find_used_up()->limit, &limited_->limits[2]);
    EXPECT_TRUE(find_used_up()->is_spent);
}

TEST_F(LimitCounting, AWindowThatEndsBetweenIsCountedInTheNext) {
    limit({{LimitKind::tokens, LimitPeriod::minute, 100, {}},
           {LimitKind::tokens, LimitPeriod::day, 1000, {}}});
    Roomy a;
    Roomy b;
    EXPECT_TRUE(admits(b, {1, 0}));
    zone_->settle(b, true, {30, 0}, kNow);
    EXPECT_TRUE(admits(a, {50, 0}));
    EXPECT_EQ(state(0).used_at(kNow + 60), 0U);
    EXPECT_EQ(state(0).reserved, 50U);
    zone_->settle(a, true, {20, 0}, kNow + 60);
    EXPECT_EQ(state(0).used_at(kNow + 60), 20U);
    EXPECT_EQ(state(1).used_at(kNow + 60), 50U);
    EXPECT_EQ(state(0).used_at(kNow + 120), 0U);
}

// Workers read the clock once per turn of their loop: one that is late must
// not throw away what others have counted in the new window.
TEST_F(LimitCounting, AClockThatIsBehindDoesNotRollAWindowBack) {
    limit({{LimitKind::requests, LimitPeriod::minute, 2, {}}});
    std::array<Roomy, 3> held;
    EXPECT_TRUE(admits(held[0], {}, "", Scope::both, kNow + 60));
    EXPECT_TRUE(admits(held[1], {}, "", Scope::both, kNow + 59));
    EXPECT_EQ(state(0).used_at(kNow + 60), 2U);
    EXPECT_FALSE(admits(held[2], {}, "", Scope::both, kNow + 60));
    // A clock that was far ahead, and was set right, locks nobody out.
    EXPECT_TRUE(admits(held[2], {}, "", Scope::both, kNow - 86400));
}

TEST_F(LimitCounting, WhoLeavesGivesBackAndPaysNothing) {
    limit({{LimitKind::tokens, LimitPeriod::day, 100, {}},
           {LimitKind::concurrent, LimitPeriod::none, 5, {}},
           {LimitKind::requests, LimitPeriod::day, 50, {}}});
    auto other = zone_->enter(102);
    auto reserve_other = [&](Reservation &held) {
        return zone_->reserve(limited_->limits, limited_->states, Scope::both,
                              "", {7, 0}, kNow, other, held);
    };
    Roomy kept;
    Roomy settled;
    EXPECT_FALSE(reserve_other(kept));
    EXPECT_FALSE(reserve_other(settled));
    zone_->settle(settled, true, {}, kNow);
    Roomy a;
    EXPECT_TRUE(admits(a, {20, 0}));
    EXPECT_FALSE(reserve_other(settled));
    zone_->settle(settled, true, {}, kNow);
    zone_->leave(place_);
    EXPECT_EQ(state(0).reserved, 7U);
    EXPECT_EQ(state(0).used, 0U);
    EXPECT_EQ(state(1).reserved, 1U);
    EXPECT_EQ(state(2).used, 4U);

    // What the one that left settles late does not touch others' holds, be
    // they those that it had.
    EXPECT_FALSE(reserve_other(settled));
    Roomy third;
    EXPECT_FALSE(reserve_other(third));
    zone_->settle(a, true, {2, 0}, kNow);
    EXPECT_EQ(state(0).reserved, 21U);
    EXPECT_EQ(state(0).used, 2U);
    zone_->settle(kept, true, {1, 0}, kNow);
    zone_->settle(settled, true, {1, 0}, kNow);
    zone_->settle(third, true, {1, 0}, kNow);
    EXPECT_EQ(state(0).reserved, 0U);
    EXPECT_EQ(state(1).reserved, 0U);
}

TEST_F(LimitCounting, WhatIsSettledLateIsNotTakenFromWhoHoldsItNow) {
    limit({{LimitKind::tokens, LimitPeriod::day, kMost, {}}});
    Roomy a;
    EXPECT_TRUE(admits(a, {20, 0}));
    zone_->leave(place_);
    place_ = static_cast<std::uint16_t>(place_ + 1);
    EXPECT_EQ(zone_->enter(102), 1);
    EXPECT_EQ(zone_->enter(103), place_);
    Roomy b;
    auto left = zone_->free();
    EXPECT_TRUE(admits(b, {7, 0}));
    EXPECT_EQ(zone_->free(), left);
    zone_->settle(a, true, {2, 0}, kNow);
    EXPECT_EQ(state(0).reserved, 7U);
    zone_->settle(b, true, {2, 0}, kNow);
    EXPECT_EQ(state(0).reserved, 0U);
}

TEST_F(LimitCounting, AHoldIsFreeOnlyOnce) {
    limit({{LimitKind::tokens, LimitPeriod::day, kMost, {}}});
    std::array<Roomy, 9> held;
    EXPECT_TRUE(admits(held[0]));
    EXPECT_TRUE(admits(held[1]));
    zone_->settle(held[0], true, {}, kNow);
    zone_->leave(place_);
    zone_->settle(held[1], true, {}, kNow);
    for (auto &one : held) {
        EXPECT_TRUE(admits(one, {10, 0}));
    }
    EXPECT_EQ(state(0).reserved, 90U);
    for (auto &one : held) {
        zone_->settle(one, true, {}, kNow);
    }
    EXPECT_EQ(state(0).reserved, 0U);
}

TEST_F(LimitCounting, HoldsAreUsedAgain) {
    limit({{LimitKind::tokens, LimitPeriod::day, kMost, {}},
           {LimitKind::concurrent, LimitPeriod::none, kMost, {}}});
    std::size_t left = 0;
    for (int round = 0; round < 5; round++) {
        std::array<Roomy, 50> held;
        for (auto &one : held) {
            EXPECT_TRUE(admits(one));
        }
        std::span<Roomy> all = held;
        for (auto &one : all.first(round % 2 == 0 ? 50 : 25)) {
            zone_->settle(one, true, {}, kNow);
        }
        if (round % 2 == 1) {
            zone_->leave(place_);
        }
        EXPECT_EQ(state(0).reserved, 0U);
        EXPECT_EQ(state(1).reserved, 0U);
        left = round == 0 ? zone_->free() : left;
    }
    EXPECT_EQ(zone_->free(), left);
}

TEST_F(LimitCounting, WhereThereIsNoHoldNothingIsSetAside) {
    limit({{LimitKind::requests, LimitPeriod::day, kMost, {}},
           {LimitKind::tokens, LimitPeriod::day, kMost, {}},
           {LimitKind::concurrent, LimitPeriod::none, kMost, {}}});
    Roomy first;
    EXPECT_TRUE(admits(first));
    // Room for one hold more: half of what a turn takes.
    while (zone_->free() > 64) {
        auto size = std::min<std::size_t>(zone_->free() - 64, 4096);
        auto id = std::to_string(zone_->client_count());
        id.resize(size - sizeof(ClientRecord), ' ');
        ASSERT_NE(zone_->client("", id), nullptr);
    }
    ASSERT_EQ(zone_->free(), 64U);
    auto full = zone_->full();
    Roomy second;
    for (std::uint64_t tries = 1; tries <= 3; tries++) {
        auto used_up = reserve(second, {3, 0});
        ASSERT_TRUE(used_up.has_value());
        EXPECT_EQ(used_up->limit, nullptr);
        EXPECT_TRUE(second.empty());
        EXPECT_EQ(zone_->full(), full + tries);
    }
    EXPECT_EQ(state(0).used, 1U);
    EXPECT_EQ(state(1).reserved, 1U);
    EXPECT_EQ(state(2).reserved, 1U);
    zone_->settle(first, true, {}, kNow);
    EXPECT_TRUE(admits(first));
}

TEST_F(LimitCounting, ALimitWithoutAStateAdmitsNobody) {
    limit({{LimitKind::tokens, LimitPeriod::day, 5, {}}});
    limited_->states[0] = nullptr;
    Roomy held;
    EXPECT_EQ(reserve(held)->limit, nullptr);
    EXPECT_EQ(zone_->full(), 1U);
    EXPECT_EQ(find_used_up()->limit, nullptr);
}

// Where there is no room to note what is set aside, nothing is.
TEST_F(LimitCounting, NoRoomToNote) {
    limit({{LimitKind::requests, LimitPeriod::minute, 5, {}},
           {LimitKind::tokens, LimitPeriod::day, 100, {}}});
    std::array<Reservation::Part, 1> one;
    Reservation held;
    held.set_room(one);
    EXPECT_EQ(reserve(held, {60, 0})->limit, nullptr);
    EXPECT_TRUE(held.empty());
    EXPECT_EQ(state(0).used_at(kNow), 0U);
    EXPECT_EQ(state(1).reserved, 0U);
}

}  // namespace
}  // namespace keystile
