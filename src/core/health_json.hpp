// What keystile_health answers:
//
// {"status":"ok" or "degraded",
//  "credentials":[{"name","status":"ok", "cools_down" or "expired",
//    "until","expires"}]}
//
// "credentials" has those that cool down, with "until", and those of which it
// is known when they expire, with "expires"; it is left out where there are
// none. No key is named, and nothing of one.

#pragma once

#include <cstdint>
#include <span>

#include "meter_report.hpp"
#include "text_sink.hpp"

namespace keystile {

// `sound`: the process can do its work. `now`: seconds since the epoch.
void write_health(bool sound, std::span<const CredentialReport> credentials,
                  std::int64_t now, TextSink &sink) noexcept;

}  // namespace keystile
