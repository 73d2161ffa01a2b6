// The figures of a zone as one JSON object:
//
// {"zone","version","now","counted_since","processes",
//  "memory":{"size","free","full"},
//  "state":{"saved_at","failures"},
//  "credentials":[{"name","expires","cools_down","back_at","requests",
//    "refusals":{"rejected","forbidden","rate_limited"}}],
//  "totals":FIGURES,
//  "time_to_first_token":{"count","sum_seconds","buckets":[{"le","count"}]},
//  "duration":{the same},
//  "clients":[{"set","id","open","totals":FIGURES,
//              "models":[{"model",FIGURES...}],
//              "limits":[{... of usage_json.hpp, "reserved_value"}],
//              "refusals":{REASON: n}}],
//  "clients_left_out"}
//
// FIGURES are "requests", "usage_missing", "input_tokens",
// "cached_input_tokens", "cache_written_input_tokens", "output_tokens",
// "reasoning_output_tokens", "cost_usd", "sent_bytes", "received_bytes",
// "first_tokens", "first_token_seconds" and "seconds".
//
// Points in time are date-times of RFC 3339, null if there is none. Callers
// who are not known by a key have null as set and id. A bucket counts all of
// `le` seconds or less; its `le` is null for all that there are. Totals
// include the clients that are left out. A reason is a name of
// denial_name.hpp; those that never occurred are missing.

#pragma once

#include "meter_report.hpp"
#include "text_sink.hpp"

namespace keystile {

// "<" does not occur in what is written.
void write_status_json(const ZoneReport &report, TextSink &sink) noexcept;

}  // namespace keystile
