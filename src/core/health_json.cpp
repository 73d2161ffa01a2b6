#include "health_json.hpp"

#include <algorithm>

#include "json_writer.hpp"
#include "time_left.hpp"

namespace keystile {
namespace {

bool is_told(const CredentialReport &credential) noexcept {
    return credential.back_at != 0 || credential.expires != 0;
}

bool has_expired(const CredentialReport &credential,
                 std::int64_t now) noexcept {
    return time_left(credential.expires, now) == TimeLeft::none;
}

void write_credential(const CredentialReport &credential, std::int64_t now,
                      JsonWriter &json) noexcept {
    json.begin_object();
    json.member("name", credential.name);
    json.member("status",
                std::string_view{has_expired(credential, now) ? "expired"
                                 : credential.back_at != 0    ? "cools_down"
                                                              : "ok"});
    if (credential.back_at != 0) {
        json.name("until");
        json.timestamp(credential.back_at);
    }
    if (credential.expires != 0) {
        json.name("expires");
        json.timestamp(credential.expires);
    }
    json.end_object();
}

}  // namespace

void write_health(bool sound, std::span<const CredentialReport> credentials,
                  std::int64_t now, TextSink &sink) noexcept {
    bool degraded =
        !sound || std::any_of(credentials.begin(), credentials.end(),
                              [now](const auto &credential) {
                                  return credential.back_at != 0 ||
                                         has_expired(credential, now);
                              });
    JsonWriter json{sink};
    json.begin_object();
    json.member("status", std::string_view{degraded ? "degraded" : "ok"});
    if (std::any_of(credentials.begin(), credentials.end(), is_told)) {
        json.name("credentials");
        json.begin_array();
        for (const auto &credential : credentials) {
            if (is_told(credential)) {
                write_credential(credential, now, json);
            }
        }
        json.end_array();
    }
    json.end_object();
    sink.put("\n");
}

}  // namespace keystile
