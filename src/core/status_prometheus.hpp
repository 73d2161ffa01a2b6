// The figures of a zone as Prometheus scrapes them: the text format, version
// 0.0.4. Where OpenTelemetry's semantic conventions for generative AI have a
// name, that is used, with underscores.

#pragma once

#include <string_view>

#include "meter_report.hpp"
#include "text_sink.hpp"

namespace keystile {

inline constexpr std::string_view kPrometheusType =
    "text/plain; version=0.0.4; charset=utf-8";

// Callers who are not known by a key have empty `set` and `client`; a model
// that is not known is empty; what the report has no room for is the client
// "other" of an empty set.
void write_prometheus(const ZoneReport &report, TextSink &sink) noexcept;

}  // namespace keystile
