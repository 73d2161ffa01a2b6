// Points in time as RFC 3339 writes them.

#pragma once

#include <array>
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

// The other way, in UTC: "2027-01-31T00:00:00Z". What is before the year 0 or
// after the year 9999 is the first or the last second that the form can hold.
class TimestampText {
public:
    explicit TimestampText(std::int64_t seconds) noexcept;

    std::string_view view() const noexcept {
        return {text_.data(), text_.size()};
    }

private:
    std::array<char, 20> text_;
};

}  // namespace keystile
