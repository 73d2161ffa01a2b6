// The line of a turn: one JSON object, as README.md describes it.
//
// For what is done beside the traffic: memory is that of the bodies, unpacked
// and parsed.

#pragma once

#include "heap_text.hpp"
#include "record.hpp"

namespace keystile {

// Writes the line, its end included, and tells what it says is dropped. False
// when out of memory.
bool write_record(const Record &record, HeapText &line,
                  RecordLoss &loss) noexcept;

}  // namespace keystile
