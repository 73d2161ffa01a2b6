#include "state_file.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "digest.hpp"
#include "limit_period.hpp"
#include "meter_sums.hpp"
#include "shared_zone.hpp"
#include "state_words.hpp"

namespace keystile {
namespace {

constexpr auto kNow = SharedZone::kNow;  // 2027-01-15T08:00:00Z

std::string state_of(const MeterZone &zone, std::size_t at_a_time = 1000,
                     std::uint64_t generation = 7) {
    StringSink sink;
    StateWriter writer;
    writer.begin(zone, generation, kNow, sink);
    while (writer.write_some(zone, at_a_time, sink)) {
    }
    return sink.text;
}

// The lines with the last one that belongs to them.
std::string sealed(const std::string &lines) {
    Sha256Digest digest;
    EXPECT_TRUE(Sha256::create()->digest(lines, digest));
    auto hex = state_words::hex_of(digest);
    auto count = std::count(lines.begin(), lines.end(), '\n');
    return lines + "end " + std::to_string(count) + " " +
           std::string{hex.data(), hex.size()} + "\n";
}

std::size_t at(Denial denial) { return static_cast<std::size_t>(denial); }

void count_some(MeterZone &zone) {
    auto place = zone.enter(101);
    auto other = zone.enter(102);
    zone.set_counted_since(1'700'000'000);
    zone.times(place)->first_token[2].add(3);
    zone.times(other)->first_token[14].add(4);
    zone.times(place)->first_token_milliseconds.add(70'000);
    zone.times(place)->duration[0].add(1);
    zone.times(other)->duration_milliseconds.add(9);

    auto &nobody = *zone.client("", "");
    zone.presence(nobody, place)->refusals[at(Denial::missing_key)].add(2);
    auto &client = *zone.client("a b%\xC3\xA9", "ci-runner@x.org");
    for (std::size_t i = 0; i < kFigures; i++) {
        zone.series(client, "gpt-5", place)->figures[i].add(i + 1);
        zone.series(client, "gpt-5", other)->figures[i].add(100);
    }
    zone.series(client, "", place)->figures[0].add(~std::uint64_t{0});
    zone.series(client, "\xC3\xA4 \"%", place)->figures[0].add(1);
    zone.series(client, "unused", place);
    zone.presence(client, place)
        ->refusals[at(Denial::bad_request_target)]
        .add(1);
    zone.presence(client, other)
        ->refusals[at(Denial::bad_request_target)]
        .add(1);
    zone.presence(client, other)->refusals[at(Denial::body_too_large)].add(5);
    zone.presence(client, other)->open.add(5);
    auto set_used = [&](const Limit &limit, std::uint64_t used,
                        std::int64_t when) {
        auto *state = zone.limit_state(client, limit);
        state->used = used;
        state->window = period_start(limit.per, when);
    };
    set_used({LimitKind::tokens, LimitPeriod::day, 1, {}}, 55, kNow);
    set_used({LimitKind::usd, LimitPeriod::month, 1, "gpt-5*"}, 66, kNow);
    set_used({LimitKind::requests, LimitPeriod::minute, 1, {}}, 77,
             kNow - 3600);
    zone.limit_state(client, {LimitKind::concurrent, LimitPeriod::none, 1, {}})
        ->reserved = 3;
    zone.client("team", "never-seen");
}

const std::string kLines =
    "keystile-state 1 7 1800000000 1700000000\n"
    "first_token 0 0 3 0 0 0 0 0 0 0 0 0 0 0 4 70000\n"
    "duration 1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 9\n"
    "client % %\n"
    "refusals missing_key 2\n"
    "client a%20b%25%C3%A9 ci-runner@x.org\n"
    "series gpt-5 101 102 103 104 105 106 107 108 109 110 111 112 113\n"
    "series % 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0\n"
    "series %C3%A4%20\"%25 1 0 0 0 0 0 0 0 0 0 0 0 0\n"
    "limit usd month gpt-5* 1798761600 66\n"
    "limit tokens day % 1799971200 55\n"
    "refusals bad_request_target 2 body_too_large 5\n";

TEST(StateFile, IsWhatTheZoneHasCounted) {
    SharedZone zone;
    count_some(*zone);
    EXPECT_EQ(state_of(*zone), sealed(kLines));
}

TEST(StateFile, IsTheSameWrittenABitAtATime) {
    SharedZone zone;
    count_some(*zone);
    for (int i = 0; i < 50; i++) {
        zone->series(*zone->client("team", std::to_string(i)), "m", 1)
            ->figures[0]
            .add(1);
    }
    auto whole = state_of(*zone);
    for (std::size_t at_a_time : {1U, 2U, 7U}) {
        EXPECT_EQ(state_of(*zone, at_a_time), whole);
    }
}

TEST(StateFile, AClientThatComesWhileItIsWrittenIsInIt) {
    SharedZone zone;
    count_some(*zone);
    StringSink sink;
    StateWriter writer;
    writer.begin(*zone, 1, kNow, sink);
    EXPECT_TRUE(writer.write_some(*zone, 2, sink));
    zone->presence(*zone->client("team", "new"), 1)->refusals[0].add(1);
    while (writer.write_some(*zone, 1, sink)) {
    }
    EXPECT_NE(sink.text.find("client team new\n"), std::string::npos);
    EXPECT_EQ(peek_generation(sink.text), 1U);
}

TEST(StateFile, AnEmptyZoneHasAState) {
    SharedZone zone;
    auto text = state_of(*zone);
    SharedZone restored;
    auto read = read_state(text, *restored, {});
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->clients, 0U);
    EXPECT_EQ(state_of(*restored), text);
}

TEST(StateFile, WhatIsReadIsWhatWasWritten) {
    SharedZone zone;
    count_some(*zone);
    auto text = state_of(*zone);
    SharedZone restored;
    auto read = read_state(text, *restored, {});
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->generation, 7U);
    EXPECT_EQ(read->saved_at, kNow);
    EXPECT_EQ(read->counted_since, 1'700'000'000);
    EXPECT_EQ(read->clients, 2U);
    EXPECT_EQ(read->clients_dropped + read->without_room, 0U);
    EXPECT_EQ(restored->counted_since(), 1'700'000'000);
    EXPECT_EQ(restored->saved_at, kNow);
    EXPECT_EQ(restored->save_generation, 7U);
    EXPECT_EQ(restored->first_token().buckets[14], 4U);
    EXPECT_EQ(restored->duration().milliseconds, 9U);
    EXPECT_EQ(count_open(*restored->first_client()), 0U);

    auto &client = *restored->client("a b%\xC3\xA9", "ci-runner@x.org");
    Limit limit{LimitKind::tokens, LimitPeriod::day, 1, {}};
    auto *state = restored->limit_state(client, limit);
    EXPECT_EQ(state->used_at(kNow), 55U);
    EXPECT_EQ(state->used_at(kNow + 86400), 0U);

    // The order of limits is not kept.
    SharedZone again;
    ASSERT_TRUE(read_state(state_of(*restored), *again, {}).has_value());
    EXPECT_EQ(state_of(*again), text);
    EXPECT_EQ(restored->enter(5), 1);
}

TEST(StateFile, OnlyClientsThatAreWantedAreRead) {
    SharedZone zone;
    count_some(*zone);
    auto text = state_of(*zone);
    SharedZone restored;
    ClientFilter filter{
        [](void *context, std::string_view set, std::string_view id) noexcept {
            *static_cast<std::string *>(context) +=
                std::string{set} + "/" + std::string{id} + " ";
            return id.empty();
        },
        nullptr};
    std::string asked;
    filter.context = &asked;
    auto read = read_state(text, *restored, filter);
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->clients, 1U);
    EXPECT_EQ(read->clients_dropped, 1U);
    EXPECT_EQ(restored->client_count(), 1U);
    EXPECT_EQ(asked, "/ a b%\xC3\xA9/ci-runner@x.org ");
}

TEST(StateFile, TheGenerationOfAWholeFileCanBeTold) {
    SharedZone zone;
    auto text = state_of(*zone, 1, 42);
    EXPECT_EQ(peek_generation(text), 42U);
    EXPECT_EQ(peek_generation(text.substr(1)), std::nullopt);
    EXPECT_EQ(peek_generation(text + " "), std::nullopt);
    EXPECT_EQ(peek_generation(sealed("keystile-state 1 x 1 1\n")),
              std::nullopt);
}

class RefusedState : public testing::Test {
protected:
    // Reads it and looks that nothing came of it.
    BadState refuse(const std::string &text) {
        // A copy of its own, so that sanitizers see whoever reads beyond it.
        std::vector<char> copy{text.begin(), text.end()};
        auto read = read_state({copy.data(), copy.size()}, *zone_, {});
        EXPECT_FALSE(read.has_value()) << text;
        auto memory = zone_.memory();
        EXPECT_EQ(memcmp(memory.data(), before_.data(), memory.size()), 0);
        return read ? BadState{} : read.error();
    }

    SharedZone zone_{MeterZone::kLeastSize};
    std::vector<std::byte> before_{zone_.memory().begin(),
                                   zone_.memory().end()};
};

TEST_F(RefusedState, WhatIsCutShortAnywhere) {
    auto text = sealed(kLines);
    for (std::size_t size = 0; size < text.size(); size++) {
        ASSERT_EQ(refuse(text.substr(0, size)).fault, StateFault::torn)
            << size;
    }
}

TEST_F(RefusedState, WhatHasAByteThatIsOther) {
    auto text = sealed(kLines);
    for (std::size_t i = 0; i < text.size(); i++) {
        for (int bit : {1, 4, 0x20, 0x80}) {
            auto damaged = text;
            damaged[i] = static_cast<char>(damaged[i] ^ bit);
            refuse(damaged);
        }
    }
}

TEST_F(RefusedState, WhatHasMoreOrLessLines) {
    auto text = sealed(kLines);
    EXPECT_EQ(refuse(text + "\n").fault, StateFault::torn);
    EXPECT_EQ(refuse(text + text).fault, StateFault::torn);
    auto at = text.rfind("end ");
    EXPECT_EQ(refuse(text.substr(0, at)).fault, StateFault::torn);
    EXPECT_EQ(refuse(std::string{text}.replace(at, 6, "end 11")).fault,
              StateFault::torn);
}

TEST_F(RefusedState, WhatIsNotOurs) {
    for (auto text :
         {"{}", "keystile-stat", "#!/bin/sh\n", "keystile-status"}) {
        auto fault = refuse(text).fault;
        EXPECT_EQ(fault, std::string_view{text} == "keystile-stat"
                             ? StateFault::torn
                             : StateFault::not_ours)
            << text;
        EXPECT_FALSE(describe(fault).empty());
    }
}

TEST_F(RefusedState, WhatAnotherVersionWrote) {
    auto head = kLines.substr(0, kLines.find('\n') + 1);
    struct {
        std::string lines;
        std::size_t line;
    } const cases[] = {
        {"keystile-state 2 7 1 1\n", 0},
        {"keystile-state 11 7 1 1\n", 0},
        {"keystile-state 1\n", 1},
        {"keystile-state 1 7 1\n", 1},
        {"keystile-state 1 7 1 1 1\n", 1},
        {head + "\n", 2},
        {head + "series a 1 2 3 4 5 6 7 8 9 10 11 12 13\n", 2},
        {head + "duration 1 2\n", 2},
        {head + "duration 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n", 2},
        {head + "client a\n", 2},
        {head + "client a b c\n", 2},
        {head + "client a %4\n", 2},
        {head + "client a %xx\n", 2},
        {head + "client a " + std::string(4097, 'b') + "\n", 2},
        {head + "client a b\nseries a 1 2\n", 3},
        {head + "client a b\nseries a 1 2 3 4 5 6 7 8 9 10 11 12 x\n", 3},
        {head + "client a b\nseries a 1 2 3 4 5 6 7 8 9 10 11 12 13 14\n", 3},
        {head + "client a b\nlimit tokens day % 1\n", 3},
        {head + "client a b\nlimit bytes day % 1 1\n", 3},
        {head + "client a b\nlimit tokens year % 1 1\n", 3},
        {head + "client a b\nlimit tokens none % 1 1\n", 3},
        {head + "client a b\nlimit concurrent none % 0 1\n", 3},
        {head + "client a b\nlimit concurrent day % 0 1\n", 3},
        {head + "client a b\nlimit tokens day % 1 -1\n", 3},
        {head + "client a b\nlimit tokens day % 1 18446744073709551616\n", 3},
        {head + "client a b\nrefusals missing_key\n", 3},
        {head + "client a b\nrefusals no_such_code 1\n", 3},
        {head + "client a b\ncolour red\n", 3},
    };
    for (const auto &[lines, line] : cases) {
        auto bad = refuse(sealed(lines));
        EXPECT_EQ(bad.fault, StateFault::other_version) << lines;
        EXPECT_EQ(bad.line, line) << lines;
    }
}

TEST(StateFile, WhatFindsNoRoomIsCounted) {
    SharedZone large{4 << 20};
    auto place = large->enter(101);
    for (int i = 0; i < 1000; i++) {
        auto &client = *large->client("team", std::to_string(i));
        large->series(client, "gpt-5", place)->figures[0].add(1);
        large->presence(client, place)->refusals[0].add(1);
    }
    SharedZone small{MeterZone::kLeastSize};
    auto read = read_state(state_of(*large), *small, {});
    ASSERT_TRUE(read.has_value());
    EXPECT_EQ(read->clients, small->client_count());
    EXPECT_GT(read->clients, 50U);
    EXPECT_EQ(small->full() > 0, true);
    EXPECT_EQ(read->clients + read->without_room >= 1000, true);
}

}  // namespace
}  // namespace keystile
