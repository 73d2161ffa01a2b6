// The part of state_file.hpp that writes.

#include <algorithm>
#include <array>
#include <charconv>

#include "denial_name.hpp"
#include "meter_sums.hpp"
#include "state_file.hpp"
#include "state_words.hpp"

namespace keystile {
namespace {

using namespace state_words;

constexpr std::string_view kHex = "0123456789ABCDEF";

// Puts words in a sink and a digest, many at a time.
class Lines {
public:
    Lines(TextSink &sink, RunningDigest &digest, std::uint64_t &count) noexcept
        : sink_{sink}, digest_{digest}, count_{count} {}
    ~Lines() { flush(); }
    Lines(const Lines &) = delete;
    Lines &operator=(const Lines &) = delete;

    void start(std::string_view word) noexcept { put(word); }
    void word(std::string_view word) noexcept {
        put(' ');
        put(word);
    }

    template <typename Integer>
    void number(Integer value) noexcept {
        std::array<char, 24> digits;
        auto end = std::to_chars(digits.begin(), digits.end(), value).ptr;
        word({digits.data(), static_cast<std::size_t>(end - digits.data())});
    }

    void name(std::string_view name) noexcept {
        put(' ');
        if (name.empty()) {
            put(kNoName);
        }
        for (char c : name) {
            if (c > ' ' && c < 0x7F && c != '%') {
                put(c);
                continue;
            }
            auto byte = static_cast<unsigned char>(c);
            put('%');
            put(kHex[byte >> 4]);
            put(kHex[byte & 15]);
        }
    }

    void end() noexcept {
        put('\n');
        count_++;
    }

    void flush() noexcept {
        std::string_view text{bytes_.data(), size_};
        digest_.take(text);
        sink_.put(text);
        size_ = 0;
    }

private:
    void put(std::string_view text) noexcept {
        for (char c : text) {
            put(c);
        }
    }

    void put(char c) noexcept {
        if (size_ == bytes_.size()) {
            flush();
        }
        bytes_[size_++] = c;
    }

    TextSink &sink_;
    RunningDigest &digest_;
    std::uint64_t &count_;
    std::array<char, 1024> bytes_;
    std::size_t size_ = 0;
};

template <typename Histogram>
void write_histogram(Lines &lines, std::string_view name,
                     const Histogram &histogram) noexcept {
    lines.start(name);
    for (auto count : histogram.buckets) {
        lines.number(count);
    }
    lines.number(histogram.milliseconds);
    lines.end();
}

void write_series(Lines &lines, const ClientRecord &client) noexcept {
    for_each_model(client,
                   [&lines](std::string_view model, const Totals &totals) {
                       if (totals == Totals{}) {
                           return;
                       }
                       lines.start("series");
                       lines.name(model);
                       for (std::size_t i = 0; i < kFigures; i++) {
                           lines.number(totals[static_cast<Figure>(i)]);
                       }
                       lines.end();
                   });
}

// Only what still counts.
void write_limits(Lines &lines, const ClientRecord &client,
                  std::int64_t now) noexcept {
    for (auto *limit = client.limits; limit != nullptr; limit = limit->next) {
        if (limit->kind == LimitKind::concurrent || limit->used_at(now) == 0) {
            continue;
        }
        lines.start("limit");
        lines.word(kKinds[static_cast<std::size_t>(limit->kind)]);
        lines.word(kPeriods[static_cast<std::size_t>(limit->per)]);
        lines.name(limit->model.view());
        lines.number(limit->window);
        lines.number(limit->used);
        lines.end();
    }
}

void write_refusals(Lines &lines, const ClientRecord &client) noexcept {
    auto refusals = sum_refusals(client);
    if (refusals == Refusals{}) {
        return;
    }
    lines.start("refusals");
    for (std::size_t i = 0; i < kDenials; i++) {
        if (refusals[i] > 0) {
            lines.word(name_of(static_cast<Denial>(i)));
            lines.number(refusals[i]);
        }
    }
    lines.end();
}

void write_client(Lines &lines, const ClientRecord &client,
                  std::int64_t now) noexcept {
    if (client.series.load() == nullptr && client.limits == nullptr &&
        client.presences.load() == nullptr) {
        return;
    }
    lines.start("client");
    lines.name(client.set);
    lines.name(client.id);
    lines.end();
    write_series(lines, client);
    write_limits(lines, client, now);
    write_refusals(lines, client);
}

}  // namespace

void StateWriter::begin(const MeterZone &zone, std::uint64_t generation,
                        std::int64_t now, TextSink &sink) noexcept {
    *this = StateWriter{};
    now_ = now;
    Lines lines{sink, digest_, lines_};
    lines.start(kMagic.substr(0, kMagic.size() - 1));
    lines.word(kVersion);
    lines.number(generation);
    lines.number(now);
    lines.number(zone.counted_since());
    lines.end();
    write_histogram(lines, "first_token", zone.first_token());
    write_histogram(lines, "duration", zone.duration());
}

bool StateWriter::write_some(const MeterZone &zone,
                             std::size_t clients_at_most,
                             TextSink &sink) noexcept {
    Lines lines{sink, digest_, lines_};
    const auto *next =
        last_ == nullptr ? zone.first_client() : last_->next.load();
    for (; next != nullptr && clients_at_most > 0; clients_at_most--) {
        write_client(lines, *next, now_);
        last_ = next;
        next = next->next.load();
    }
    if (next != nullptr) {
        return true;
    }
    lines.flush();
    auto digest = digest_.end();
    lines.start("end");
    lines.number(lines_);
    // Without a digest nobody takes it for whole.
    if (digest) {
        auto hex = hex_of(*digest);
        lines.word({hex.data(), hex.size()});
    }
    lines.end();
    return false;
}

}  // namespace keystile
