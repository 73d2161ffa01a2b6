#include "credential_state.hpp"

#include <gtest/gtest.h>

namespace keystile {
namespace {

constexpr std::int64_t kNow = 1'800'000'000;

class Pool : public testing::Test {
protected:
    void cool(std::size_t place, std::int64_t refused, std::int64_t back,
              CredentialFault why = CredentialFault::rejected) {
        states_[place].refuse(why);
        states_[place].cool_down(refused * 1000, back);
    }
    std::optional<std::size_t> choose(std::uint32_t tried = 0,
                                      std::int64_t now = kNow) const {
        return choose_credential(all_, tried, now);
    }

    std::array<CredentialState, 3> states_;
    std::array<const CredentialState *, 3> all_{&states_[0], &states_[1],
                                                &states_[2]};
};

TEST_F(Pool, BeginsWithTheFirst) {
    EXPECT_EQ(choose(), 0U);
    EXPECT_EQ(choose(1), 1U);
    EXPECT_EQ(choose(2), 0U);
    EXPECT_EQ(choose(3), 2U);
    EXPECT_EQ(choose(7), std::nullopt);
}

TEST_F(Pool, LeavesOutWhatCoolsDown) {
    cool(0, kNow, kNow + 10);
    EXPECT_EQ(choose(), 1U);
    EXPECT_EQ(choose(2), 2U);
    EXPECT_EQ(choose(6), std::nullopt);
    EXPECT_EQ(choose(6, kNow + 9), std::nullopt);
    EXPECT_EQ(choose(6, kNow + 10), 0U);
}

TEST_F(Pool, PrefersTheOneRefusedLeastRecently) {
    cool(0, kNow - 20, kNow);
    EXPECT_EQ(choose(), 1U);
    cool(1, kNow - 10, kNow);
    EXPECT_EQ(choose(), 2U);
    cool(2, kNow - 30, kNow);
    EXPECT_EQ(choose(), 2U);
    EXPECT_EQ(choose(4), 0U);
}

TEST_F(Pool, KnowsWhenTheFirstIsBackAndWhy) {
    cool(0, kNow, kNow + 30, CredentialFault::rejected);
    cool(1, kNow, kNow + 20, CredentialFault::rate_limited);
    cool(2, kNow, kNow + 40, CredentialFault::forbidden);
    auto outage = outage_of(all_, kNow);
    EXPECT_EQ(outage.back_at, kNow + 20);
    EXPECT_TRUE(outage.rate_limited);

    cool(1, kNow, kNow + 50, CredentialFault::rate_limited);
    outage = outage_of(all_, kNow);
    EXPECT_EQ(outage.back_at, kNow + 30);
    EXPECT_FALSE(outage.rate_limited);
}

TEST_F(Pool, IsBackNowIfOneDoesNotCoolDown) {
    cool(0, kNow, kNow + 30);
    EXPECT_EQ(outage_of(all_, kNow).back_at, kNow);
}

TEST_F(Pool, CountsRefusals) {
    cool(0, kNow, kNow, CredentialFault::rejected);
    cool(0, kNow, kNow, CredentialFault::rate_limited);
    cool(0, kNow, kNow, CredentialFault::rate_limited);
    EXPECT_EQ(states_[0].refusals[0], 1U);
    EXPECT_EQ(states_[0].refusals[1], 0U);
    EXPECT_EQ(states_[0].refusals[2], 2U);
}

}  // namespace
}  // namespace keystile
