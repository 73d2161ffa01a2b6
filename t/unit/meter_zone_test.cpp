#include "meter_zone.hpp"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "meter_sums.hpp"
#include "shared_zone.hpp"

namespace keystile {
namespace {

constexpr auto kNow = SharedZone::kNow;

std::map<std::string, std::uint64_t> requests_of(const ClientRecord &client) {
    std::map<std::string, std::uint64_t> requests;
    for_each_model(client, [&](std::string_view model, const Totals &totals) {
        auto [_, is_new] = requests.emplace(model, totals[Figure::requests]);
        EXPECT_TRUE(is_new) << model;
    });
    return requests;
}

Count &requests(Series &series) { return series.figures[0]; }

TEST(MeterZone, NeedsMemoryThatIsLargeEnoughAndAligned) {
    SharedZone shared;
    auto memory = shared.memory();
    auto create = [](std::span<std::byte> part) {
        return MeterZone::create(part, kNow);
    };
    EXPECT_EQ(create(memory.first(MeterZone::kLeastSize - 1)), nullptr);
    EXPECT_EQ(create(memory.subspan(8)), nullptr);
    ASSERT_NE(create(memory.first(MeterZone::kLeastSize)), nullptr);
    EXPECT_EQ(shared->size(), MeterZone::kLeastSize);
    EXPECT_EQ(shared->counted_since(), kNow);
    EXPECT_EQ(shared->full(), 0U);
    EXPECT_GT(shared->free(), MeterZone::kLeastSize * 3 / 4);
}

TEST(MeterZone, AClientIsASetAndAnId) {
    SharedZone zone;
    EXPECT_EQ(zone->first_client(), nullptr);
    EXPECT_EQ(zone->client_count(), 0U);
    std::set<ClientRecord *> records;
    for (std::string_view set : {"", "a", "ab"}) {
        for (std::string_view id : {"", "b", "bc", "c"}) {
            auto *record = zone->client(set, id);
            ASSERT_NE(record, nullptr);
            EXPECT_EQ(record->set, set);
            EXPECT_EQ(record->id, id);
            EXPECT_TRUE(records.insert(record).second);
            EXPECT_EQ(zone->client(set, id), record);
        }
    }
    EXPECT_EQ(zone->client_count(), records.size());
    std::string order;
    for (const auto *c = zone->first_client(); c != nullptr; c = c->next) {
        order += std::string{c->set} + "/" + std::string{c->id} + " ";
    }
    EXPECT_EQ(order, "/ /b /bc /c a/ a/b a/bc a/c ab/ ab/b ab/bc ab/c ");
}

TEST(MeterZone, ManyClientsAreAllFoundAgain) {
    SharedZone zone;
    std::vector<ClientRecord *> records;
    auto find = [&](std::size_t i) {
        return zone->client(std::to_string(i % 64), std::to_string(i / 64));
    };
    while (auto *record = find(records.size())) {
        records.push_back(record);
    }
    EXPECT_GT(records.size(), 5000U);
    EXPECT_EQ(zone->full(), 1U);
    EXPECT_EQ(zone->client_count(), records.size());
    for (std::size_t i = 0; i < records.size(); i++) {
        ASSERT_EQ(find(i), records[i]);
    }
    EXPECT_EQ(zone->full(), 1U);
    EXPECT_LT(zone->free(), 192U);
}

TEST(MeterZone, ANameHasALength) {
    SharedZone zone;
    std::string longest(MeterZone::kLongestName, 'a');
    EXPECT_NE(zone->client(longest, longest), nullptr);
    EXPECT_EQ(zone->client("a", longest + "a"), nullptr);
    EXPECT_EQ(zone->client(longest + "a", "a"), nullptr);
    EXPECT_EQ(zone->full(), 2U);
}

TEST(MeterZone, ASeriesIsAModelInAPlace) {
    SharedZone zone;
    auto &client = *zone->client("team", "a");
    auto *first = zone->series(client, "gpt-5", 1);
    EXPECT_EQ(zone->series(client, "gpt-5", 1), first);
    EXPECT_NE(zone->series(client, "gpt-5", 2), first);
    EXPECT_NE(zone->series(client, "", 1), first);
    EXPECT_EQ(zone->series(client, "a\nb", 1), zone->series(client, "", 1));
    requests(*first).add(3);
    requests(*zone->series(client, "gpt-5", 2)).add(4);
    requests(*zone->series(client, "", 1)).add(5);
    EXPECT_EQ(requests_of(client),
              (std::map<std::string, std::uint64_t>{{"gpt-5", 7}, {"", 5}}));
    EXPECT_TRUE(requests_of(*zone->client("team", "b")).empty());
}

TEST(MeterZone, TheFirstModelThatWasCountedIsVisitedFirst) {
    SharedZone zone;
    auto &client = *zone->client("team", "a");
    for (auto model : {"a", "c", "b"}) {
        zone->series(client, model, 1);
    }
    std::string order;
    for_each_model(client, [&](std::string_view model, const Totals &) {
        order += model;
    });
    EXPECT_EQ(order, "acb");
}

TEST(MeterZone, ModelsBeyondTheMostAreCountedAsOthers) {
    SharedZone zone;
    auto &client = *zone->client("team", "a");
    requests(*zone->series(client, "", 1)).add(1);
    for (unsigned i = 0; i < MeterZone::kMostModels; i++) {
        auto name = "m" + std::to_string(i);
        requests(*zone->series(client, name, i % 2 + 1)).add(1);
    }
    // Known in another place: no new model.
    requests(*zone->series(client, "m0", 2)).add(1);
    requests(*zone->series(client, "m1", 1)).add(1);
    auto left = zone->free();
    for (int i = 0; i < 100; i++) {
        auto *series = zone->series(client, "new" + std::to_string(i), 1);
        EXPECT_EQ(series->model.view(), MeterZone::kOtherModels);
        requests(*series).add(1);
    }
    requests(*zone->series(client, "other", 2)).add(1);
    EXPECT_GE(zone->free() + 2 * 256, left);

    auto counted = requests_of(client);
    EXPECT_EQ(counted.size(), kMostModelSums);
    EXPECT_EQ(counted["other"], 101U);
    EXPECT_EQ(counted["m0"], 2U);
    EXPECT_EQ(counted["m1"], 2U);
    EXPECT_EQ(counted["m63"], 1U);
    EXPECT_EQ(
        zone->series(*zone->client("team", "b"), "new1", 1)->model.view(),
        "new1");
}

TEST(MeterZone, PlacesAreTakenAgain) {
    SharedZone zone;
    EXPECT_EQ(zone->enter(101), 1);
    EXPECT_EQ(zone->enter(102), 2);
    EXPECT_EQ(zone->enter(103), 3);
    EXPECT_EQ(zone->processes(), 3U);
    zone->leave(2);
    EXPECT_EQ(zone->processes(), 2U);
    EXPECT_EQ(zone->leave_dead([](std::int32_t pid) { return pid != 101; }),
              1U);
    EXPECT_EQ(zone->processes(), 1U);
    EXPECT_EQ(zone->enter(104), 1);
    EXPECT_EQ(zone->enter(105), 2);
    EXPECT_EQ(zone->enter(106), 4);
    EXPECT_EQ(zone->processes(), 4U);
    zone->leave(0);
    zone->leave(5);
    zone->leave(9999);
    EXPECT_EQ(zone->processes(), 4U);
}

TEST(MeterZone, ThereAreOnlySoManyPlaces) {
    SharedZone zone{4 << 20};
    for (unsigned i = 1; i <= MeterZone::kMostPlaces; i++) {
        ASSERT_EQ(zone->enter(static_cast<std::int32_t>(i) + 1000), i);
    }
    EXPECT_EQ(zone->enter(9), 0);
    zone->leave(700);
    EXPECT_EQ(zone->enter(9), 700);
    EXPECT_EQ(zone->leave_dead([](std::int32_t) { return false; }),
              MeterZone::kMostPlaces);
}

TEST(MeterZone, APidThatComesAgainIsThatOfAnotherProcess) {
    SharedZone zone;
    auto place = zone->enter(101);
    auto &client = *zone->client("team", "a");
    zone->presence(client, place)->open.add(1);
    EXPECT_EQ(zone->enter(101), place);
    EXPECT_EQ(count_open(client), 0U);
    EXPECT_EQ(zone->processes(), 1U);
}

TEST(MeterZone, WhoLeavesHasNothingOpenButHasCounted) {
    SharedZone zone;
    auto &client = *zone->client("team", "a");
    auto &other = *zone->client("team", "b");
    auto one = zone->enter(101);
    auto two = zone->enter(102);
    for (auto place : {one, two}) {
        for (auto *record : {&client, &other}) {
            auto *presence = zone->presence(*record, place);
            EXPECT_EQ(zone->presence(*record, place), presence);
            presence->open.add(2);
            presence->refusals[1].add(1);
        }
        requests(*zone->series(client, "gpt-5", place)).add(1);
        zone->times(place)->duration[3].add(1);
        zone->times(place)->duration_milliseconds.add(50);
        zone->times(place)->first_token[0].add(2);
    }
    zone->times(0)->duration[3].add(5);
    EXPECT_EQ(count_open(client), 4U);

    zone->leave(one);
    EXPECT_EQ(count_open(client), 2U);
    EXPECT_EQ(count_open(other), 2U);
    EXPECT_EQ(sum_refusals(client)[1], 2U);
    EXPECT_EQ(requests_of(client)["gpt-5"], 2U);
    EXPECT_EQ(zone->times(one), nullptr);
    EXPECT_EQ(zone->duration().buckets[3], 7U);
    EXPECT_EQ(zone->duration().milliseconds, 100U);
    EXPECT_EQ(zone->first_token().buckets[0], 4U);

    EXPECT_EQ(zone->enter(103), one);
    EXPECT_EQ(zone->times(one)->duration[3].get(), 1U);
    EXPECT_EQ(zone->presence(client, one)->refusals[1].get(), 1U);
}

TEST(MeterZone, AFullZoneLosesNothing) {
    SharedZone zone{MeterZone::kLeastSize};
    auto place = zone->enter(101);
    std::vector<ClientRecord *> clients;
    while (zone->full() == 0) {
        auto *client = zone->client("team", std::to_string(clients.size()));
        if (client == nullptr) {
            break;
        }
        clients.push_back(client);
        auto *series = zone->series(*client, "gpt-5", place);
        if (series != nullptr) {
            requests(*series).add(clients.size());
        }
    }
    // What is left is smaller than a series; clients may still fit.
    while (zone->client("last", std::to_string(zone->client_count()))) {
    }
    auto full = zone->full();
    EXPECT_GE(full, 1U);
    EXPECT_EQ(zone->client("team", "another"), nullptr);
    EXPECT_EQ(zone->series(*clients[0], "gpt-6", place), nullptr);
    EXPECT_EQ(zone->series(*clients[0], "gpt-5", 2), nullptr);
    EXPECT_EQ(zone->presence(*clients[0], place), nullptr);
    Limit limit{LimitKind::tokens, LimitPeriod::day, 1, {}};
    EXPECT_EQ(zone->limit_state(*clients[0], limit), nullptr);
    EXPECT_EQ(zone->full(), full + 5);

    // A place that is there is taken, without times; no more are made.
    auto second = zone->enter(102);
    EXPECT_EQ(second, 2);
    EXPECT_EQ(zone->times(second), nullptr);
    EXPECT_EQ(zone->full(), full + 6);
    EXPECT_EQ(zone->duration().milliseconds, 0U);

    ASSERT_GT(clients.size(), 20U);
    for (std::size_t i = 0; i + 1 < clients.size(); i++) {
        ASSERT_EQ(zone->client("team", std::to_string(i)), clients[i]);
        ASSERT_EQ(requests_of(*clients[i])["gpt-5"], i + 1);
    }
    zone->note_full();
    EXPECT_EQ(zone->full(), full + 7);
}

}  // namespace
}  // namespace keystile
