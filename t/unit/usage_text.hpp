// A Usage as a test compares it: what is there, and nothing else.

#pragma once

#include <string>
#include <string_view>

#include "usage_scan.hpp"

namespace keystile {

inline std::string text_of(const Usage &usage) {
    std::string text;
    auto add = [&text](std::string_view word) {
        text += text.empty() ? "" : " ";
        text += word;
    };
    auto add_count = [&add](std::string_view name, const auto &count) {
        if (count) {
            add(name);
            add(std::to_string(*count));
        }
    };
    add_count("in", usage.input);
    add_count("cached", usage.cached);
    add_count("written", usage.cache_written);
    add_count("out", usage.output);
    add_count("reasoning", usage.reasoning);
    if (!usage.model.view().empty()) {
        add("of");
        add(usage.model.view());
    }
    auto add_if = [&add](bool is_so, std::string_view word) {
        if (is_so) {
            add(word);
        }
    };
    add_if(usage.complete, "complete");
    add_if(usage.mixed, "mixed");
    add_if(usage.error, "error");
    add_if(usage.is_refusal(), "refusal");
    add_if(usage.prewarm, "prewarm");
    add_if(usage.late, "late");
    add_if(usage.unasked, "unasked");
    add_if(usage.beside, "beside");
    add_if(usage.is_no_turn, "no-turn");
    return text;
}

}  // namespace keystile
