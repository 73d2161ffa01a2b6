#include "admission.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gate.hpp"

namespace keystile {
namespace {

TEST_F(Gate, Expiry) {
    EXPECT_EQ(result(bearer("sk-other")), "other");  // one second left
    EXPECT_EQ(result(bearer("sk-expired")), kExpired);
}

TEST_F(Gate, Addresses) {
    auto at = [this](std::optional<Address> address) {
        peer = address;
        return result(bearer("sk-office"));
    };
    auto refused = std::string{describe(Denial::address_not_allowed).message};
    EXPECT_EQ(at(Address::from_ipv4({{192, 0, 2, 7}})), "office");
    EXPECT_EQ(at(Address::from_ipv4({{192, 0, 3, 7}})), refused);
    Address v6{};
    inet_pton(AF_INET6, "2001:db8::1", v6.bytes.data());
    EXPECT_EQ(at(v6), "office");
    EXPECT_EQ(at(std::nullopt), refused);  // a Unix socket

    auto decision = ask(bearer("sk-office"));
    ASSERT_FALSE(decision);
    EXPECT_EQ(decision.error().client, "office");
    EXPECT_EQ(result(bearer("sk-good")), "good");
}

// A client's own list narrows the location's, and never widens it.
TEST_F(Gate, NarrowedClients) {
    auto refused = std::string{describe(Denial::client_not_allowed).message};
    EXPECT_EQ(result(bearer("sk-narrow")), "narrow");
    EXPECT_EQ(result(bearer("sk-narrow"), "GET", "/v1/models"), "narrow");
    EXPECT_EQ(result(bearer("sk-narrow"), "POST", "/v1/responses/r/cancel"),
              refused);
    EXPECT_EQ(result(bearer("sk-narrow"), "GET", "/v1/files"),
              describe(Denial::path_not_allowed).message);

    Lines upgrade{{"Connection", "upgrade"}, {"Upgrade", "websocket"}};
    auto with = [&upgrade](const std::string &key) {
        auto lines = upgrade;
        lines.emplace_back("Authorization", "Bearer " + key);
        return lines;
    };
    EXPECT_EQ(result(with("sk-good"), "GET"), "good");
    EXPECT_EQ(result(with("sk-socket"), "GET"), "socket");
    EXPECT_EQ(result(bearer("sk-socket")), refused);
    EXPECT_EQ(result(with("sk-narrow"), "GET"), refused);
}

TEST_F(Gate, RulesComeBeforeTheClient) {
    struct {
        const char *method;
        const char *target;
        Denial denial;
        const char *pattern;
    } cases[] = {
        {"POST", "/v1//responses", Denial::bad_request_target, ""},
        {"POST", "/v1/responses/..", Denial::bad_request_target, ""},
        {"POST", "http://h/v1/responses", Denial::bad_request_target, ""},
        {"OPTIONS", "*", Denial::bad_request_target, ""},
        {"POST", "/v1/embeddings", Denial::path_not_allowed, ""},
        {"POST", "/v1/responses/", Denial::path_not_allowed, ""},
        {"PUT", "/v1/responses", Denial::method_not_allowed, "/v1/responses"},
        {"GET", "/v1/responses", Denial::method_not_allowed, "/v1/responses"},
        {"HEAD", "/v1/models", Denial::method_not_allowed, "/v1/models"},
        {"post", "/v1/responses", Denial::method_not_allowed, "/v1/responses"},
        {"POST", "/v1/responses?a=1", Denial::query_not_allowed,
         "/v1/responses"},
        {"GET", "/v1/models?limit=1", Denial::query_not_allowed, "/v1/models"},
        {"GET", "/v1/models?client_version=1&key=k", Denial::key_in_query,
         "/v1/models"},
    };
    for (const auto &c : cases) {
        for (const auto &lines : {Lines{}, bearer("sk-good")}) {
            auto decision = ask(lines, c.method, c.target);
            ASSERT_FALSE(decision) << c.target;
            EXPECT_EQ(describe(decision.error().denial).message,
                      describe(c.denial).message)
                << c.method << " " << c.target;
            EXPECT_EQ(decision.error().pattern, c.pattern);
            EXPECT_EQ(decision.error().fault.has_value(),
                      c.denial == Denial::bad_request_target);
        }
    }
}

TEST_F(Gate, Upgrades) {
    const Lines upgrade{{"Connection", "Upgrade"},
                        {"Upgrade", "websocket"},
                        {"Authorization", "Bearer sk-good"}};
    auto socket = ask(upgrade, "GET");
    ASSERT_TRUE(socket);
    EXPECT_TRUE(socket->websocket());
    EXPECT_TRUE(socket->rule().websocket);

    auto denied = [&](const char *method, const char *target) {
        auto decision = ask(upgrade, method, target);
        EXPECT_FALSE(decision);
        return decision ? Denial::bad_request_body : decision.error().denial;
    };
    EXPECT_EQ(denied("GET", "/v1/models"), Denial::websocket_not_allowed);
    EXPECT_EQ(denied("GET", "/v1/files"), Denial::path_not_allowed);
    EXPECT_EQ(denied("GET", "/v1/responses?a=1"), Denial::query_not_allowed);

    // An upgrade belongs to GET: elsewhere it is ignored.
    auto post = ask(upgrade, "POST");
    ASSERT_TRUE(post);
    EXPECT_FALSE(post->websocket());

    // As are upgrades to anything else, and in HTTP versions without them.
    auto h2c = ask({{"Connection", "Upgrade, HTTP2-Settings"},
                    {"Upgrade", "h2c"},
                    {"Authorization", "Bearer sk-good"}});
    ASSERT_TRUE(h2c);
    EXPECT_FALSE(h2c->websocket());
    can_upgrade = false;
    EXPECT_EQ(denied("GET", "/v1/responses"), Denial::method_not_allowed);
    can_upgrade = true;

    has_body = true;
    EXPECT_EQ(denied("GET", "/v1/responses"), Denial::bad_request_body);
    EXPECT_TRUE(ask(upgrade, "POST"));
}

// One admission for both: the client is checked before a socket opens.
TEST_F(Gate, UpgradesNeedAKeyAsWell) {
    Lines upgrade{{"Connection", "Upgrade"}, {"Upgrade", "websocket"}};
    EXPECT_EQ(result(upgrade, "GET"), kMissing);
    upgrade.emplace_back("Authorization", "Bearer sk-unknown");
    EXPECT_EQ(result(upgrade, "GET"), kInvalid);
}

TEST_F(Gate, AdmitPlaceholder) {
    policy.admit = Admit::placeholder;
    policy.placeholders = placeholders;
    EXPECT_EQ(result(bearer("sk-placeholder")), "admitted");
    EXPECT_EQ(result({{"x-api-key", "sk-placeholder"}}), "admitted");
    EXPECT_EQ(result({}), kMissing);
    EXPECT_EQ(result(bearer("sk-good")), kInvalid);
    EXPECT_EQ(result(bearer("sk-placeholde")), kInvalid);

    auto foreign = std::string{describe(Denial::foreign_credential).message};
    Lines both{{"Authorization", "Bearer sk-placeholder"},
               {"x-goog-api-key", "real"}};
    EXPECT_EQ(result(both), "admitted");
    policy.reject_foreign = true;
    EXPECT_EQ(result(both), foreign);
    EXPECT_EQ(result(bearer("sk-placeholder")), "admitted");
    EXPECT_EQ(result({{"Authorization", "Bearer sk-placeholder"},
                      {"x-api-key", "sk-placeholder"}}),
              "admitted");
    EXPECT_EQ(result({{"Authorization", "Bearer sk-placeholder"},
                      {"x_api_key", "sk-placeholder"}}),
              foreign);
    EXPECT_EQ(result(bearer("sk-good")), foreign);
}

TEST_F(Gate, AdmitAny) {
    policy.admit = Admit::any;
    EXPECT_EQ(result({}), "admitted");
    EXPECT_EQ(result(bearer("anything")), "admitted");
    policy.reject_foreign = true;
    EXPECT_EQ(result({}), "admitted");
    EXPECT_EQ(result({{"Authorization", ""}}), "admitted");
    for (auto name : {"Authorization", "x-api-key", "api_key",
                      "x-goog-api-key", "Proxy-Authorization"}) {
        EXPECT_EQ(result({{name, "anything"}}),
                  describe(Denial::foreign_credential).message)
            << name;
    }
}

TEST_F(Gate, SeveralSets) {
    std::vector<Client> more{{"guest", {}, false, {}, narrow.rules()}};
    std::vector<ClientKeySlot> more_slots(client_key_slot_count(1));
    insert_client_key(more_slots, digest_of("sk-guest"), 0);
    ClientSet guests{"guests", {more, more_slots}};

    EXPECT_EQ(result(bearer("sk-guest")), kInvalid);
    sets = {&set, &guests};
    policy.client_sets = sets;
    EXPECT_EQ(result(bearer("sk-guest")), "guest");
    EXPECT_EQ(result(bearer("sk-guest"), "POST", "/v1/responses/r/cancel"),
              describe(Denial::client_not_allowed).message);
    EXPECT_EQ(result(bearer("sk-good")), "good");
    sets.clear();
    policy.client_sets = sets;
    EXPECT_EQ(result(bearer("sk-good")), kInvalid);
}

// After an internal redirect the headers may be gone; the identity is not
// worked out again, but what it may do there is.
TEST_F(Gate, AKnownIdentityIsKept) {
    auto first = ask(bearer("sk-narrow"));
    ASSERT_TRUE(first);
    auto identity = first->identity();
    EXPECT_EQ(identity.set, &set);
    auto again = ask({}, "GET", "/v1/models", &identity);
    ASSERT_TRUE(again);
    EXPECT_EQ(again->identity().client->id, "narrow");
    EXPECT_EQ(again->identity().key_header, "authorization");

    auto elsewhere = ask({}, "POST", "/v1/responses/r/cancel", &identity);
    ASSERT_FALSE(elsewhere);
    EXPECT_EQ(elsewhere.error().denial, Denial::client_not_allowed);
    auto unknown = ask({}, "POST", "/v1/files", &identity);
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().denial, Denial::path_not_allowed);
}

// What let somebody in at one location need not do so at another.
TEST_F(Gate, AKnownIdentityMustHoldHere) {
    auto denial = [this](const Identity &known, const char *target) {
        auto decision = ask({}, "POST", target, &known);
        return decision
                   ? std::string{"admitted"}
                   : std::string{describe(decision.error().denial).message};
    };
    auto client = ask({{"x-api-key", "sk-good"}})->identity();
    EXPECT_EQ(denial(client, "/v1/responses"), "admitted");
    EXPECT_EQ(denial(Identity{}, "/v1/responses"), kMissing);
    EXPECT_EQ(denial(client, "/v1/oauth"), kMissing)
        << "only Authorization counts there";

    ClientSet others{"others", {}};
    sets = {&others};
    policy.client_sets = sets;
    EXPECT_EQ(denial(client, "/v1/responses"), kMissing);

    policy.admit = Admit::placeholder;
    policy.placeholders = placeholders;
    EXPECT_EQ(denial(client, "/v1/responses"), kMissing);
    policy.admit = Admit::any;
    EXPECT_EQ(denial(client, "/v1/responses"), "admitted");
}

TEST_F(Gate, ThePermitHoldsWhatWasMatched) {
    const char *target = "/v1/models?client_version=1";
    auto permit = ask(bearer("sk-good"), "GET", target);
    ASSERT_TRUE(permit);
    EXPECT_EQ(permit->rule().path, "/v1/models");
    EXPECT_EQ(permit->target().path, "/v1/models");
    EXPECT_EQ(permit->target().path.data(), target);
    EXPECT_EQ(permit->target().query, "client_version=1");
    EXPECT_FALSE(permit->websocket());
}

}  // namespace
}  // namespace keystile
