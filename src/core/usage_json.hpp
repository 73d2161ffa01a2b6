// What a client is told of its own usage, in the shape that Codex tools read
// at /v1/usage:
//
// {"request_count":0,"total_tokens":0,"cached_input_tokens":0,
//  "total_cost_usd":0.0,"limits":[],"upstream_limits":[],
//  "account_pool_usage":{"primary":null,"secondary":null}}
//
// The last two are what others say of their upstream accounts, and are always
// empty here.

#pragma once

#include "json_writer.hpp"
#include "meter_report.hpp"
#include "text_sink.hpp"

namespace keystile {

void write_usage_json(const ClientReport &client, TextSink &sink) noexcept;

// The members of an object that is one limit, for the writer to add to:
// limit_type: "requests", "total_tokens", "cost_usd" or "concurrent";
// limit_window: "minute", "hour", "daily", "weekly", "monthly", or null;
// max_value, current_value, remaining_value: of what is used and reserved,
// in microdollars (10^-6 USD) for a cost; model_filter: a pattern, or null;
// reset_at: a date-time, or null.
void write_limit_members(const LimitReport &report, JsonWriter &json) noexcept;

// Of a limit, in the unit of max_value.
std::uint64_t limit_value(LimitKind kind, std::uint64_t amount) noexcept;

}  // namespace keystile
