#include "price_table.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "model_pattern.hpp"

namespace keystile {
namespace {

constexpr auto kMost = std::numeric_limits<std::uint64_t>::max();

std::uint64_t add(std::uint64_t a, std::uint64_t b) noexcept {
    return a > kMost - b ? kMost : a + b;
}

std::uint64_t multiply(std::uint64_t a, std::uint64_t b) noexcept {
    std::uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? kMost : product;
}

std::size_t stars_in(std::string_view pattern) noexcept {
    return static_cast<std::size_t>(
        std::count(pattern.begin(), pattern.end(), '*'));
}

// Whether `a` says more than `b`. Of "gpt-5" and "gpt-5*", which have as many
// characters that are no "*", the one with fewer "*" does.
bool is_closer(std::string_view a, std::string_view b) noexcept {
    auto a_letters = a.size() - stars_in(a);
    auto b_letters = b.size() - stars_in(b);
    return a_letters != b_letters ? a_letters > b_letters
                                  : a.size() < b.size();
}

}  // namespace

const Price *PriceTable::find(std::string_view model) const noexcept {
    const PricedModel *closest = nullptr;
    for (const auto &priced : models) {
        if ((closest == nullptr ||
             is_closer(priced.pattern, closest->pattern)) &&
            model_matches(priced.pattern, model)) {
            closest = &priced;
        }
    }
    return closest == nullptr ? nullptr : &closest->price;
}

bool PriceTable::prices_all() const noexcept {
    return std::any_of(
        models.begin(), models.end(), [](const PricedModel &priced) {
            return !priced.pattern.empty() &&
                   stars_in(priced.pattern) == priced.pattern.size();
        });
}

// A provider that claims more cached input than input: what it says of the
// cache is charged, and no input beside it.
Picodollars cost_of(const Usage &usage, const Price &price) noexcept {
    auto input = usage.input.value_or(0);
    auto cached = usage.cached.value_or(0);
    auto cache_written = usage.cache_written.value_or(0);
    auto beside = input - std::min(input, add(cached, cache_written));

    auto cost = multiply(beside, price.input);
    cost = add(cost, multiply(cached, price.cached));
    cost = add(cost, multiply(cache_written, price.cache_written));
    return add(cost, multiply(usage.output.value_or(0), price.output));
}

}  // namespace keystile
