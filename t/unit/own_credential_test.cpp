#include "own_credential.hpp"

#include <gtest/gtest.h>

#include <string>

#include "key_header.hpp"

namespace keystile {
namespace {

bool goes_up(std::string_view value) {
    auto authorization = parse_authorization(value);
    return authorization && is_for_provider(*authorization);
}

TEST(OwnCredential, IsAToken) {
    EXPECT_TRUE(goes_up("Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ0In0.c2ln"));
    EXPECT_TRUE(goes_up("bearer opaque-token"));
    EXPECT_TRUE(goes_up("  Bearer   opaque-token "));
    EXPECT_TRUE(goes_up("AgentAssertion eyJhZ2VudCI6MX0"));
    EXPECT_TRUE(goes_up("DPoP eyJ.a.b"));
    EXPECT_TRUE(goes_up("Token a=\"1\", b=\"2\""));
}

TEST(OwnCredential, IsNotWhatHasNoSchemeOrNothingAfterIt) {
    for (auto value : {"", " ", "Bearer", "Bearer ", "Bearer   ", "a-token",
                       ": a", "Bea:rer a", "\"Bearer\" a"}) {
        EXPECT_FALSE(goes_up(value)) << value;
    }
}

TEST(OwnCredential, IsNotALoginOfASite) {
    for (auto value :
         {"Basic dXNlcjpwYXNz", "basic dXNlcjpwYXNz", "Digest username=\"a\"",
          "Negotiate YII=", "NTLM TlRM"}) {
        EXPECT_FALSE(goes_up(value)) << value;
    }
}

TEST(OwnCredential, IsNotAPlaceholder) {
    EXPECT_FALSE(goes_up("Bearer sk-placeholder-for-api-proxy"));
    EXPECT_FALSE(goes_up("Bearer <token>"));
    EXPECT_FALSE(goes_up("Token sk-xxxx"));
}

TEST(OwnCredential, IsOneLineOfVisibleAscii) {
    EXPECT_FALSE(goes_up("Bearer a b"));
    EXPECT_FALSE(goes_up("Bearer a\tb"));
    EXPECT_FALSE(goes_up("Bearer a\r\nX: y"));
    EXPECT_FALSE(goes_up(std::string_view{"Bearer a\0b", 10}));
    EXPECT_FALSE(goes_up("Bearer caf\xC3\xA9"));
    EXPECT_FALSE(goes_up("Token a\x7F"));
}

TEST(OwnCredential, HasALength) {
    std::string longest = "Bearer " + std::string(kLongestKey - 7, 'a');
    EXPECT_TRUE(goes_up(longest));
    EXPECT_FALSE(goes_up(longest + "a"));
}

}  // namespace
}  // namespace keystile
