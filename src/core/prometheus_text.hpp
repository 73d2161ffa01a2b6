// The text format of Prometheus, version 0.0.4: families of samples, one to a
// line.

#pragma once

#include <cstdint>
#include <string_view>

#include "text_sink.hpp"

namespace keystile {

// What is known of the samples of that name, which are to follow. `help` has no
// backslash and no line end.
void put_family(TextSink &sink, std::string_view name, std::string_view type,
                std::string_view help) noexcept;

// One line: NAME{LABEL="VALUE",...} NUMBER. It begins with the name, and value()
// ends it. Names are as the format wants them; values of labels are escaped.
class PrometheusSample {
public:
    PrometheusSample(TextSink &sink, std::string_view name,
                     std::string_view suffix = {}) noexcept;

    PrometheusSample &label(std::string_view name,
                            std::string_view value) noexcept;

    void value(std::uint64_t amount, unsigned decimals = 0) noexcept;

private:
    TextSink &sink_;
    bool has_labels_ = false;
};

}  // namespace keystile
