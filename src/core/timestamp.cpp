#include "timestamp.hpp"

#include <algorithm>
#include <chrono>

#include "ascii.hpp"

namespace keystile {
namespace {

constexpr std::int64_t kSecondsPerMinute = 60;
constexpr std::int64_t kSecondsPerHour = 3600;
constexpr std::int64_t kSecondsPerDay = 86400;

// Takes the text apart from the left; once something is not as expected, all
// that follows fails as well.
class Scanner {
public:
    explicit Scanner(std::string_view text) noexcept : rest_{text} {}

    // A number of exactly `digits` digits, within the bounds.
    int number(std::size_t digits, int min, int max) noexcept {
        int value = 0;
        for (std::size_t i = 0; i < digits; i++) {
            auto c = next();
            ok_ = ok_ && is_digit(c);
            value = value * 10 + (c - '0');
        }
        ok_ = ok_ && value >= min && value <= max;
        return value;
    }

    void literal(char c) noexcept { ok_ = ok_ && lower(next()) == lower(c); }

    // A fraction of a second, if there is one: a point and digits.
    void fraction() noexcept {
        if (!rest_.starts_with('.')) {
            return;
        }
        rest_.remove_prefix(1);
        number(1, 0, 9);
        while (!rest_.empty() && is_digit(rest_.front())) {
            rest_.remove_prefix(1);
        }
    }

    // "Z" or an offset such as "+01:30", in seconds east of UTC.
    std::int64_t offset() noexcept {
        auto sign = next();
        if (lower(sign) == 'z') {
            return 0;
        }
        ok_ = ok_ && (sign == '+' || sign == '-');
        auto hours = number(2, 0, 23);
        literal(':');
        auto minutes = number(2, 0, 59);
        auto east = hours * kSecondsPerHour + minutes * kSecondsPerMinute;
        return sign == '-' ? -east : east;
    }

    // Whether all was as expected, and nothing is left.
    bool done() const noexcept { return ok_ && rest_.empty(); }

private:
    char next() noexcept {
        if (rest_.empty()) {
            ok_ = false;
            return '0';
        }
        auto c = rest_.front();
        rest_.remove_prefix(1);
        return c;
    }

    std::string_view rest_;
    bool ok_ = true;
};

constexpr std::int64_t kFirstSecond = -62'167'219'200;  // of the year 0
constexpr std::int64_t kLastSecond = 253'402'300'799;   // of the year 9999

// Writes `value` with exactly `digits` digits, returns the end.
char *put_number(char *out, std::int64_t value, std::size_t digits) noexcept {
    for (auto i = digits; i > 0; i--) {
        out[i - 1] = static_cast<char>('0' + value % 10);
        value /= 10;
    }
    return out + digits;
}

}  // namespace

std::optional<std::int64_t> parse_timestamp(std::string_view text) noexcept {
    Scanner scan{text};

    auto year = scan.number(4, 0, 9999);
    scan.literal('-');
    auto month = scan.number(2, 1, 12);
    scan.literal('-');
    auto day = scan.number(2, 1, 31);
    scan.literal('T');
    auto hour = scan.number(2, 0, 23);
    scan.literal(':');
    auto minute = scan.number(2, 0, 59);
    scan.literal(':');
    auto second = scan.number(2, 0, 60);
    scan.fraction();
    auto offset = scan.offset();

    std::chrono::year_month_day date{
        std::chrono::year{year},
        std::chrono::month{static_cast<unsigned>(month)},
        std::chrono::day{static_cast<unsigned>(day)}};
    if (!scan.done() || !date.ok()) {
        return std::nullopt;
    }

    std::int64_t days = std::chrono::sys_days{date}.time_since_epoch().count();
    auto time = days * kSecondsPerDay + hour * kSecondsPerHour +
                minute * kSecondsPerMinute + second - offset;

    if (second == 60 && time % kSecondsPerDay != 0) {
        return std::nullopt;
    }
    return time;
}

TimestampText::TimestampText(std::int64_t seconds) noexcept {
    seconds = std::clamp(seconds, kFirstSecond, kLastSecond);
    std::chrono::sys_seconds time{std::chrono::seconds{seconds}};
    auto days = std::chrono::floor<std::chrono::days>(time);
    std::chrono::year_month_day date{days};
    auto second = (time - days).count();  // of the day

    auto *out = put_number(text_.data(), int{date.year()}, 4);
    *out++ = '-';
    out = put_number(out, unsigned{date.month()}, 2);
    *out++ = '-';
    out = put_number(out, unsigned{date.day()}, 2);
    *out++ = 'T';
    out = put_number(out, second / kSecondsPerHour, 2);
    *out++ = ':';
    out = put_number(out, second % kSecondsPerHour / kSecondsPerMinute, 2);
    *out++ = ':';
    out = put_number(out, second % kSecondsPerMinute, 2);
    *out = 'Z';
}

}  // namespace keystile
