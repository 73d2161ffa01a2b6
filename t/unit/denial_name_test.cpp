#include "denial_name.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace keystile {
namespace {

// As dashboards and alerts of others know them: not to be changed.
TEST(DenialName, IsThatOfTheEnumerator) {
    std::set<Denial> tested;
#define EXPECT_NAME(denial)                      \
    EXPECT_EQ(name_of(Denial::denial), #denial); \
    EXPECT_TRUE(tested.insert(Denial::denial).second)
    EXPECT_NAME(bad_request_target);
    EXPECT_NAME(duplicate_key_header);
    EXPECT_NAME(too_many_connection_options);
    EXPECT_NAME(bad_request_body);
    EXPECT_NAME(missing_key);
    EXPECT_NAME(invalid_key);
    EXPECT_NAME(expired_key);
    EXPECT_NAME(path_not_allowed);
    EXPECT_NAME(query_not_allowed);
    EXPECT_NAME(key_in_query);
    EXPECT_NAME(client_not_allowed);
    EXPECT_NAME(address_not_allowed);
    EXPECT_NAME(foreign_credential);
    EXPECT_NAME(method_not_allowed);
    EXPECT_NAME(websocket_not_allowed);
    EXPECT_NAME(upstream_credential_rejected);
    EXPECT_NAME(upstream_forbidden);
    EXPECT_NAME(upstream_bad_request);
    EXPECT_NAME(unreadable_model);
    EXPECT_NAME(model_not_allowed);
    EXPECT_NAME(rate_limit_exceeded);
    EXPECT_NAME(usage_limit_reached);
    EXPECT_NAME(metering_unavailable);
    EXPECT_NAME(body_too_large);
    EXPECT_NAME(own_credential_missing);
    EXPECT_NAME(credentials_rejected);
    EXPECT_NAME(credentials_limited);
    EXPECT_NAME(credentials_used_up);
#undef EXPECT_NAME
    EXPECT_EQ(tested.size(), kDenials);
}

}  // namespace
}  // namespace keystile
