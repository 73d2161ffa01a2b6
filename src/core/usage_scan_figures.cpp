// What the figures that were seen mean.

#include "usage_scan.hpp"

#include <algorithm>
#include <limits>

namespace keystile {

UsageScan::Count UsageScan::count(Field field) const noexcept {
    auto index = static_cast<std::size_t>(field - kCounters);
    return has(field) ? Count{counts_[index]} : std::nullopt;
}

void UsageScan::add(std::uint64_t &sum, std::uint64_t count) noexcept {
    sum = *UsageScan::sum(sum, count);
}

// Of those that are there.
UsageScan::Count UsageScan::sum(Count a, Count b) noexcept {
    constexpr auto max = std::numeric_limits<std::uint64_t>::max();
    if (!a || !b) {
        return a ? a : b;
    }
    return *a > max - *b ? max : *a + *b;
}

Usage UsageScan::usage() const noexcept {
    auto first = [this](Field a, Field b) {
        return has(a) ? count(a) : count(b);
    };

    Usage all;
    if (has(kGeminiPrompt)) {
        all.input = sum(count(kGeminiPrompt), count(kGeminiToolPrompt));
        all.output = sum(count(kGeminiOutput), count(kGeminiThoughts));
        all.cached = count(kGeminiCached);
        all.reasoning = count(kGeminiThoughts);
    } else {
        all.input = first(kInput, kPrompt);
        all.output = first(kOutput, kCompletion);
        if (has(kInput)) {
            all.input =
                sum(all.input, sum(count(kCacheRead), count(kCacheCreated)));
        } else if (all.input && all.output &&
                   count(kTotal) > sum(all.input, all.output)) {
            all.output = *count(kTotal) - *all.input;
        }
        all.cached = first(kCached, kCacheRead);
        all.cache_written = first(kCacheWritten, kCacheCreated);
        all.reasoning = count(kReasoning);
    }
    if (has(kInput) && has(kOutput)) {
        all.mixed =
            iterations_.input > *all.input || iterations_.output > *all.output;
        all.input = std::max(*all.input, iterations_.input);
        all.output = std::max(*all.output, iterations_.output);
    }
    bool is_called_off =
        is_cancelled_ &&
        (is_batch_ || (is_response_ && !all.input && !all.output));
    if (is_called_off) {
        all = Usage{};  // what a batch has used so far is repeated each time
    } else {
        all.model = model_;
    }
    all.texts = texts_;
    all.complete = is_complete_ && !is_deferred();
    all.error = is_error_;
    all.broke_off = is_error_ && (broke_off_ || has_answer_);
    all.blames_credential = is_error_ && blames_credential_;
    all.error_status = is_error_ ? status_ : std::uint16_t{0};
    all.is_no_turn =
        is_called_off || (has(kTokenCount) && !all.input && !all.output);
    return all;
}

}  // namespace keystile
