#include "state_file.hpp"

#include <algorithm>
#include <array>

#include "denial_name.hpp"
#include "limit.hpp"
#include "state_words.hpp"

namespace keystile {
namespace {

using namespace state_words;

bool is_sealed(std::string_view lines, std::string_view end) noexcept {
    StateWords words{end};
    std::string_view word;
    std::uint64_t count = 0;
    if (!words.word(word) || word != "end" || !words.number(count) ||
        !words.word(word) || !words.at_end() ||
        count != static_cast<std::uint64_t>(
                     std::count(lines.begin(), lines.end(), '\n'))) {
        return false;
    }
    RunningDigest digest;
    digest.take(lines);
    auto sum = digest.end();
    if (!sum) {
        return false;
    }
    auto hex = hex_of(*sum);
    return word == std::string_view{hex.data(), hex.size()};
}

std::optional<StateFault> find_fault(std::string_view text,
                                     std::string_view &lines) noexcept {
    if (!text.starts_with(kMagic)) {
        return kMagic.starts_with(text) ? StateFault::torn
                                        : StateFault::not_ours;
    }
    auto after = text.substr(kMagic.size());
    auto version = after.substr(0, after.find_first_of(" \n"));
    if (version != kVersion) {
        return after.size() == version.size() ? StateFault::torn
                                              : StateFault::other_version;
    }
    if (!text.ends_with('\n')) {
        return StateFault::torn;
    }
    text.remove_suffix(1);
    auto end = text.rfind('\n') + 1;
    lines = text.substr(0, end);
    return is_sealed(lines, text.substr(end))
               ? std::nullopt
               : std::optional{StateFault::torn};
}

// Reads the lines of a text that is whole; into a zone, if there is one.
class LineReader {
public:
    LineReader(MeterZone *zone, const ClientFilter &filter,
               StateRead &done) noexcept
        : zone_{zone}, filter_{filter}, done_{done} {}

    // False if the line has an unknown word, or more or less of them.
    bool read(std::string_view line) noexcept;

private:
    using Name = std::array<char, MeterZone::kLongestName>;

    bool read_client(StateWords &words) noexcept;
    bool read_series(StateWords &words) noexcept;
    bool read_limit(StateWords &words) noexcept;
    bool read_refusals(StateWords &words) noexcept;
    template <std::size_t N>
    bool read_times(StateWords &words, std::array<Count, N> &buckets,
                    Count &milliseconds) noexcept;
    template <typename Record>
    bool has_room(Record *record) noexcept;

    MeterZone *zone_;
    ClientFilter filter_;
    StateRead &done_;
    ClientRecord *client_ = nullptr;
    bool is_of_client_ = false;
    bool is_dropped_ = false;
    MeterZone::Times no_times_{};
};

bool LineReader::read(std::string_view line) noexcept {
    StateWords words{line};
    std::string_view kind;
    if (!words.word(kind)) {
        return false;
    }
    auto &times = zone_ == nullptr ? no_times_ : *zone_->times(0);
    if (kind == "first_token") {
        return read_times(words, times.first_token,
                          times.first_token_milliseconds);
    }
    if (kind == "duration") {
        return read_times(words, times.duration, times.duration_milliseconds);
    }
    if (kind == "client") {
        return read_client(words);
    }
    if (!is_of_client_) {
        return false;
    }
    return kind == "series"     ? read_series(words)
           : kind == "limit"    ? read_limit(words)
           : kind == "refusals" ? read_refusals(words)
                                : false;
}

template <std::size_t N>
bool LineReader::read_times(StateWords &words, std::array<Count, N> &buckets,
                            Count &milliseconds) noexcept {
    std::array<std::uint64_t, N> counts;
    std::uint64_t sum = 0;
    if (!words.numbers(counts) || !words.number(sum) || !words.at_end()) {
        return false;
    }
    for (std::size_t i = 0; i < N; i++) {
        buckets[i].add(counts[i]);
    }
    milliseconds.add(sum);
    return true;
}

bool LineReader::read_client(StateWords &words) noexcept {
    Name set_room;
    Name id_room;
    std::string_view set;
    std::string_view id;
    if (!words.name(set_room, set) || !words.name(id_room, id) ||
        !words.at_end()) {
        return false;
    }
    is_of_client_ = true;
    client_ = nullptr;
    is_dropped_ =
        filter_.keeps != nullptr && !filter_.keeps(filter_.context, set, id);
    if (zone_ == nullptr) {
        return true;
    }
    if (is_dropped_) {
        done_.clients_dropped++;
        return true;
    }
    client_ = zone_->client(set, id);
    done_.clients += has_room(client_);
    return true;
}

// Whether there is a record to write to.
template <typename Record>
bool LineReader::has_room(Record *record) noexcept {
    done_.without_room += record == nullptr;
    return record != nullptr;
}

bool LineReader::read_series(StateWords &words) noexcept {
    std::array<char, ModelName::kRoom> room;
    std::string_view model;
    std::array<std::uint64_t, kFigures> figures;
    if (!words.name(room, model) || !words.numbers(figures) ||
        !words.at_end()) {
        return false;
    }
    if (zone_ == nullptr || is_dropped_) {
        return true;
    }
    auto *series =
        client_ == nullptr ? nullptr : zone_->series(*client_, model, 0);
    if (has_room(series)) {
        for (std::size_t i = 0; i < kFigures; i++) {
            series->figures[i].add(figures[i]);
        }
    }
    return true;
}

bool LineReader::read_limit(StateWords &words) noexcept {
    std::array<char, ModelName::kRoom> room;
    Limit limit{};
    std::size_t kind = 0;
    std::size_t per = 0;
    std::int64_t window = 0;
    std::uint64_t used = 0;
    if (!words.one_of(kKinds, kind) || !words.one_of(kPeriods, per) ||
        !words.name(room, limit.model) || !words.number(window) ||
        !words.number(used) || !words.at_end()) {
        return false;
    }
    limit.kind = static_cast<LimitKind>(kind);
    limit.per = static_cast<LimitPeriod>(per);
    // What is open now is not kept: nobody would give it back.
    if (limit.kind == LimitKind::concurrent ||
        limit.per == LimitPeriod::none) {
        return false;
    }
    if (zone_ == nullptr || is_dropped_) {
        return true;
    }
    auto *state =
        client_ == nullptr ? nullptr : zone_->limit_state(*client_, limit);
    if (has_room(state)) {
        state->window = window;
        state->used = used;
    }
    return true;
}

bool LineReader::read_refusals(StateWords &words) noexcept {
    std::array<std::string_view, kDenials> names;
    for (std::size_t i = 0; i < kDenials; i++) {
        names[i] = name_of(static_cast<Denial>(i));
    }
    std::array<std::uint64_t, kDenials> refusals{};
    while (!words.at_end()) {
        std::size_t denial = 0;
        if (!words.one_of(names, denial) || !words.number(refusals[denial])) {
            return false;
        }
    }
    if (zone_ == nullptr || is_dropped_) {
        return true;
    }
    auto *presence =
        client_ == nullptr ? nullptr : zone_->presence(*client_, 0);
    if (has_room(presence)) {
        for (std::size_t i = 0; i < kDenials; i++) {
            presence->refusals[i].add(refusals[i]);
        }
    }
    return true;
}

// The number of the line that cannot be read; 0 if there is none.
std::size_t read_lines(std::string_view lines, LineReader &reader) noexcept {
    for (std::size_t number = 2; !lines.empty(); number++) {
        if (!reader.read(cut(lines, '\n'))) {
            return number;
        }
    }
    return 0;
}

}  // namespace

std::string_view describe(StateFault fault) noexcept {
    switch (fault) {
    case StateFault::not_ours:
        return "is no state file of keystile";
    case StateFault::other_version:
        return "is a state file of another version of keystile";
    case StateFault::torn:
        return "is cut short or damaged: its last line does not fit the rest";
    }
    return {};
}

// Each line is read twice: first to see that it can be.
Result<StateRead, BadState> read_state(std::string_view text, MeterZone &zone,
                                       const ClientFilter &filter) noexcept {
    std::string_view lines;
    if (auto fault = find_fault(text, lines)) {
        return BadState{*fault, 0};
    }
    StateHead head;
    if (!read_head(cut(lines, '\n'), head)) {
        return BadState{StateFault::other_version, 1};
    }
    StateRead done{head.generation, head.saved_at, head.counted_since};
    LineReader trial{nullptr, {}, done};
    if (auto line = read_lines(lines, trial); line != 0) {
        return BadState{StateFault::other_version, line};
    }
    LineReader reader{&zone, filter, done};
    read_lines(lines, reader);
    zone.set_counted_since(head.counted_since);
    zone.saved_at.store(head.saved_at);
    zone.save_generation.store(head.generation);
    return done;
}

std::optional<std::uint64_t> peek_generation(std::string_view text) noexcept {
    std::string_view lines;
    StateHead head;
    if (find_fault(text, lines) || !read_head(cut(lines, '\n'), head)) {
        return std::nullopt;
    }
    return head.generation;
}

}  // namespace keystile
