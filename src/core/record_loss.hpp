#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keystile {

// Why a turn, or a part of it, is not in the record. The words are those that
// the tapes recorder uses, where it has one.
enum class RecordLoss : std::uint8_t {
    none,
    upstream_status,       // it is no 200
    non_turn_request,      // a path of which nothing is known
    request_decode,        // a coding or a text that cannot be read
    empty_response,        // a 200 without a body
    response_decode,       // as the request's
    reducer_error,         // a stream that cannot be joined, or has no end
    client_disconnect,     // before the end of the reply
    upstream_no_response,  // no head came
    request_over_budget,   // there was no memory for the bodies
    // There is no line of these:
    sem_full,     // too many turns were waiting to be written
    disk_full,    //
    file_full,    // file_max=
    write_error,  // any other
};

inline constexpr std::size_t kRecordLosses = 14;

std::string_view name_of(RecordLoss loss) noexcept;

}  // namespace keystile
