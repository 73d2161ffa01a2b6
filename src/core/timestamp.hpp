// Points in time as RFC 3339 writes them.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace keystile {

// Seconds since 1970-01-01T00:00:00Z of a date-time of RFC 3339 5.6:
// "2027-01-31T00:00:00Z", "2027-01-31T01:00:00.5+01:00". A fraction is
// dropped. A leap second (":60", only as the last of a day in UTC) is the
// first second of the next day. Nothing for any other form, a space instead
// of `T` included, and for dates that do not exist.
std::optional<std::int64_t> parse_timestamp(std::string_view text) noexcept;

}  // namespace keystile
