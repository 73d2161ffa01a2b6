// What tokens cost, by model.

#pragma once

#include <span>
#include <string_view>

#include "limit.hpp"
#include "usage_scan.hpp"

namespace keystile {

// Picodollars for one token: the price of a million tokens in millionths of a
// US dollar.
struct Price {
    Picodollars input = 0;
    Picodollars cached = 0;
    Picodollars cache_written = 0;
    Picodollars output = 0;
};

struct PricedModel {
    std::string_view pattern;  // model_pattern.hpp
    Price price;
};

struct PriceTable {
    std::span<const PricedModel> models;

    // The price of the model: of the pattern with the most characters that
    // are no "*" among those that match. Null where none does.
    const Price *find(std::string_view model) const noexcept;

    // Whether every model has a price: there is a pattern "*".
    bool prices_all() const noexcept;
};

// What `usage` costs; what is not known of it costs nothing. 2^64 - 1 where
// that is more.
Picodollars cost_of(const Usage &usage, const Price &price) noexcept;

}  // namespace keystile
