#include "client_keys.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

namespace keystile {
namespace {

static_assert(std::is_trivially_destructible_v<Client>);
static_assert(std::is_trivially_destructible_v<ClientKeys>);
static_assert(std::is_standard_layout_v<ClientKeys>);
static_assert(std::is_standard_layout_v<ClientKeySlot>);

Sha256Digest digest_of(const std::string &text) {
    static auto sha256 = Sha256::create();
    Sha256Digest digest{};
    EXPECT_TRUE(sha256->digest(text, digest));
    return digest;
}

// Clients with one key each: "key-0", "key-1", ...
struct Table {
    explicit Table(std::size_t count)
        : clients(count), slots(client_key_slot_count(count)) {
        for (std::size_t i = 0; i < count; i++) {
            auto used = insert_client_key(
                slots, digest_of("key-" + std::to_string(i)), i);
            EXPECT_EQ(used, nullptr);
        }
    }

    ClientKeys keys() const { return {clients, slots}; }

    std::vector<Client> clients;
    std::vector<ClientKeySlot> slots;
};

TEST(ClientKeys, FindsEachKeyAndNoOther) {
    for (std::size_t count : {1u, 2u, 3u, 10u, 1000u}) {
        Table table{count};
        for (std::size_t i = 0; i < count; i++) {
            auto client =
                table.keys().find(digest_of("key-" + std::to_string(i)));
            EXPECT_EQ(client, &table.clients[i]);
        }
        EXPECT_EQ(table.keys().find(digest_of("key-")), nullptr);
        EXPECT_EQ(table.keys().find(Sha256Digest{}), nullptr);
    }
}

TEST(ClientKeys, EmptyTables) {
    EXPECT_EQ(ClientKeys{}.find(digest_of("key")), nullptr);
    EXPECT_EQ(Table{0}.keys().find(digest_of("key")), nullptr);
}

// The part of a digest that chooses the slot is not what decides.
TEST(ClientKeys, AllBytesOfADigestCount) {
    std::vector<Client> clients(1);
    std::vector<ClientKeySlot> slots(4);
    auto digest = digest_of("key");
    EXPECT_EQ(insert_client_key(slots, digest, 0), nullptr);

    ClientKeys keys{clients, slots};
    for (std::size_t i = 0; i < digest.size() * 8; i++) {
        auto other = digest;
        other[i / 8] ^= static_cast<std::uint8_t>(1 << i % 8);
        EXPECT_EQ(keys.find(other), nullptr) << "bit " << i;
    }
}

// Keys that want the same slot, at the end of the table.
TEST(ClientKeys, CollisionsGoRound) {
    std::vector<Client> clients(4);
    std::vector<ClientKeySlot> slots(8);
    std::vector<Sha256Digest> digests(4);
    for (std::size_t i = 0; i < digests.size(); i++) {
        digests[i].fill(0xFF);
        digests[i].back() = static_cast<std::uint8_t>(i);
        EXPECT_EQ(insert_client_key(slots, digests[i], i), nullptr);
    }

    ClientKeys keys{clients, slots};
    for (std::size_t i = 0; i < digests.size(); i++) {
        EXPECT_EQ(keys.find(digests[i]), &clients[i]);
    }
    digests[0].back() = 9;
    EXPECT_EQ(keys.find(digests[0]), nullptr);
}

TEST(ClientKeys, ADigestIsEnteredOnce) {
    std::vector<ClientKeySlot> slots(client_key_slot_count(2));
    EXPECT_EQ(insert_client_key(slots, digest_of("key"), 0), nullptr);
    auto used = insert_client_key(slots, digest_of("key"), 1);
    ASSERT_NE(used, nullptr);
    EXPECT_EQ(used->client, 1u);
    EXPECT_EQ(std::count_if(slots.begin(), slots.end(),
                            [](const auto &slot) { return slot.client != 0; }),
              1);
}

TEST(ClientKeys, TablesAreAtMostHalfFull) {
    for (std::size_t keys : {0u, 1u, 2u, 3u, 4u, 5u, 100u, 128u, 100000u}) {
        auto slots = client_key_slot_count(keys);
        EXPECT_GT(slots, 2 * keys);
        EXPECT_LE(slots, 4 * keys + 1);
        EXPECT_EQ(slots & (slots - 1), 0u);
    }
}

// As fast with 100,000 keys as with 10: what a search costs is how many slots
// it looks at.
TEST(ClientKeys, SearchesStayShort) {
    Table table{100000};
    std::size_t total = 0;
    std::size_t longest = 0;
    std::size_t run = 0;
    for (const auto &slot : table.slots) {
        run = slot.client == 0 ? 0 : run + 1;
        longest = std::max(longest, run);
        total += run;
    }
    // `run` is the most slots that a search which ends here has looked at.
    EXPECT_LT(longest, 64u);
    EXPECT_LT(
        static_cast<double>(total) / static_cast<double>(table.slots.size()),
        2.0);
}

}  // namespace
}  // namespace keystile
