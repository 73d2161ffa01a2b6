#include "health_json.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace keystile {
namespace {

constexpr std::int64_t kNow = 1'801'353'600;  // 2027-01-31T00:00:00Z

class Text final : public TextSink {
public:
    void put(std::string_view text) noexcept override { text_ += text; }
    std::string text_;
};

std::string health(bool sound, std::vector<CredentialReport> credentials) {
    Text text;
    write_health(sound, credentials, kNow, text);
    return text.text_;
}

CredentialReport credential(std::int64_t expires, std::int64_t back_at) {
    return {"a", expires, back_at, CredentialFault::rejected, 1, {}};
}

TEST(HealthJson, OfNothingToTell) {
    EXPECT_EQ(health(true, {}), "{\"status\":\"ok\"}\n");
    EXPECT_EQ(health(true, {credential(0, 0)}), "{\"status\":\"ok\"}\n");
    EXPECT_EQ(health(false, {credential(0, 0)}),
              "{\"status\":\"degraded\"}\n");
}

TEST(HealthJson, OfOneThatExpires) {
    EXPECT_EQ(health(true, {credential(kNow + 60, 0)}),
              R"({"status":"ok","credentials":[{"name":"a","status":"ok",)"
              R"("expires":"2027-01-31T00:01:00Z"}]})"
              "\n");
    EXPECT_EQ(health(true, {credential(kNow, 0), credential(0, 0)}),
              R"({"status":"degraded","credentials":[{"name":"a",)"
              R"("status":"expired","expires":"2027-01-31T00:00:00Z"}]})"
              "\n");
}

TEST(HealthJson, OfOneThatCoolsDown) {
    EXPECT_EQ(health(true, {credential(0, kNow + 60)}),
              R"({"status":"degraded","credentials":[{"name":"a",)"
              R"("status":"cools_down","until":"2027-01-31T00:01:00Z"}]})"
              "\n");
}

}  // namespace
}  // namespace keystile
