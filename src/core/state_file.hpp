// What a zone has counted, as text: so that it outlives the server.
//
//     keystile-state 1 GENERATION SAVED_AT COUNTED_SINCE
//     first_token N ... SUM
//     duration N ... SUM
//     client SET ID
//     series MODEL N ...
//     limit KIND PER MODEL WINDOW USED
//     refusals NAME N ...
//     end LINES SHA256
//
// Words are divided by one space. Those that name something have %XX for
// bytes that are not printable ASCII, for space and for "%"; "%" alone is the
// empty name. Times are seconds since the epoch; those of the histograms
// (histogram.hpp) milliseconds. The figures of a series are in the order of
// figures.hpp. A series, a limit or refusals are those of the client above
// them; a client of whom nothing was counted may have no line. LINES are those
// above the last one, and SHA256 is the digest of their bytes:
// `head -n -1 main.state | sha256sum`.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "meter_zone.hpp"
#include "result.hpp"
#include "running_digest.hpp"
#include "text_sink.hpp"

namespace keystile {

// Writes the state of a zone, a part at a time, so that nobody waits long.
// What is counted in between may be in it or not.
class StateWriter {
public:
    // Writes what is not of a client.
    void begin(const MeterZone &zone, std::uint64_t generation,
               std::int64_t now, TextSink &sink) noexcept;

    // [locked] Writes of as many clients as that, 1 or more. False when all
    // is written, its last line too. Requires begin(), of the same zone and
    // sink.
    bool write_some(const MeterZone &zone, std::size_t clients_at_most,
                    TextSink &sink) noexcept;

private:
    RunningDigest digest_;
    const ClientRecord *last_ = nullptr;  // that was written
    std::int64_t now_ = 0;
    std::uint64_t lines_ = 0;
};

enum class StateFault : unsigned char {
    not_ours,
    other_version,
    torn,
};

// A sentence that says what was expected.
std::string_view describe(StateFault fault) noexcept;

struct BadState {
    StateFault fault;
    std::size_t line;  // that cannot be read, counted from 1; 0: none of them
};

struct StateRead {
    std::uint64_t generation;
    std::int64_t saved_at;
    std::int64_t counted_since;
    std::size_t clients = 0;          // that are in the zone now
    std::size_t clients_dropped = 0;  // that the filter did not keep
    std::size_t without_room = 0;     // records; those of a client that found
                                      // none among them
};

// Which clients are still wanted. Without a function, all of them.
struct ClientFilter {
    bool (*keeps)(void *context, std::string_view set,
                  std::string_view id) noexcept = nullptr;
    void *context = nullptr;
};

// [locked] Adds what `text` says to the zone, in place 0, and sets what a
// limit has used, when the zone counts since, and when and as which
// generation it was saved. An error leaves the zone as it was.
Result<StateRead, BadState> read_state(std::string_view text, MeterZone &zone,
                                       const ClientFilter &filter) noexcept;

// The generation of a text that is whole, to tell which of two is newer.
std::optional<std::uint64_t> peek_generation(std::string_view text) noexcept;

}  // namespace keystile
