// What tests of decide() share: a location, its clients, and what is sent to
// it.

#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "admission.hpp"

namespace keystile {

using Lines = std::vector<std::pair<std::string, std::string>>;

inline constexpr std::int64_t kNow = 1800000000;

inline Sha256 &sha256() {
    static auto made = Sha256::create();
    return *made;
}

inline Sha256Digest digest_of(const std::string &key) {
    Sha256Digest digest{};
    EXPECT_TRUE(sha256().digest(key, digest));
    return digest;
}

// Rules whose words live as long as they do.
class RuleList {
public:
    RuleList(std::initializer_list<const char *> texts) {
        for (auto text : texts) {
            std::istringstream stream{text};
            std::vector<std::string_view> words;
            for (std::string word; stream >> word;) {
                words_.push_back(std::make_unique<std::string>(word));
                words.push_back(*words_.back());
            }
            auto rule = parse_rule(words);
            EXPECT_TRUE(rule) << text;
            rules_.push_back(*rule);
        }
    }
    std::span<const Rule> rules() const { return rules_; }

private:
    std::vector<std::unique_ptr<std::string>> words_;
    std::vector<Rule> rules_;
};

class Gate : public testing::Test {
protected:
    Gate() {
        for (std::size_t i = 0; i < clients.size(); i++) {
            auto used = insert_client_key(
                slots, digest_of("sk-" + std::string{clients[i].id}), i);
            EXPECT_EQ(used, nullptr);
        }
        set = {"team", {clients, slots}};
        policy.rules = rules.rules();
        policy.key_headers = key_headers;
        policy.client_sets = sets;
    }

    static AddressRange range(const char *text) {
        return *parse_address_range(text);
    }

    Decision ask(const Lines &lines, const char *method = "POST",
                 const char *target = "/v1/responses",
                 const Identity *known = nullptr) {
        CallerHeaders headers{policy.key_headers};
        for (const auto &[name, value] : lines) {
            headers.see(name, value);
        }
        return decide(
            policy,
            {method, target, headers, peer, kNow, can_upgrade, has_body},
            sha256(), known);
    }

    // The id of the admitted client, or the code of the denial.
    std::string result(const Lines &lines, const char *method = "POST",
                       const char *target = "/v1/responses") {
        auto decision = ask(lines, method, target);
        if (!decision) {
            return std::string{describe(decision.error().denial).message};
        }
        auto client = decision->identity().client;
        return client == nullptr ? "admitted" : std::string{client->id};
    }

    RuleList rules{
        "POST /v1/responses",
        "GET /v1/responses websocket",
        "POST /v1/responses/*/cancel",
        "GET /v1/models query=client_version",
        "POST /v1/oauth identity=bearer",
    };
    std::vector<AddressRange> office{range("192.0.2.0/24"),
                                     range("2001:db8::/32")};
    RuleList narrow{"POST /v1/responses", "GET /v1/**"};
    RuleList socket_only{"GET /v1/responses websocket"};
    std::vector<Client> clients{
        {"good", {}, false, {}, {}},
        {"other", kNow + 1, false, {}, {}},
        {"expired", kNow, false, {}, {}},
        {"disabled", {}, true, {}, {}},
        {"office", {}, false, office, {}},
        {"narrow", {}, false, {}, narrow.rules()},
        {"socket", {}, false, {}, socket_only.rules()},
    };
    std::vector<ClientKeySlot> slots{
        std::vector<ClientKeySlot>(client_key_slot_count(7))};
    ClientSet set;
    std::vector<const ClientSet *> sets{&set};
    std::vector<std::string_view> key_headers{"authorization", "x-api-key"};
    std::vector<std::string_view> placeholders{"sk-placeholder"};
    Policy policy;
    std::optional<Address> peer = Address::from_ipv4({{127, 0, 0, 1}});
    bool can_upgrade = true;
    bool has_body = false;
};

inline const std::string kMissing = "Missing API key";
inline const std::string kInvalid = "Invalid API key";
inline const std::string kExpired = "API key has expired";

inline Lines bearer(const std::string &key) {
    return {{"Authorization", "Bearer " + key}};
}

}  // namespace keystile
