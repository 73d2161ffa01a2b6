// The figures of a zone as a page to look at: one HTML file that needs no
// other, and asks for ?format=json of its own address every two seconds.

#pragma once

#include <string_view>

#include "meter_report.hpp"
#include "text_sink.hpp"

namespace keystile {

inline constexpr std::string_view kStatusPageType = "text/html; charset=utf-8";

// What the page may do, as a Content-Security-Policy.
inline constexpr std::string_view kStatusPageCsp =
    "default-src 'none'; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'";

void write_status_page(const ZoneReport &report, TextSink &sink) noexcept;

}  // namespace keystile
