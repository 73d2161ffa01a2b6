// What all processes together have counted of a client. Anyone may ask at any
// time, without the zone's lock: each number is right, but those of a turn
// may come one after the other.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "meter_report.hpp"
#include "meter_zone.hpp"

namespace keystile {

// kMostModels, the others, and what has no name.
inline constexpr std::size_t kMostModelSums = MeterZone::kMostModels + 2;

// Calls visit(model, totals) once for each model of the client, the one that
// was counted first, first. `model` lives as long as the zone.
template <typename Visit>
void for_each_model(const ClientRecord &client, Visit visit) noexcept {
    std::array<std::string_view, kMostModelSums> models;
    std::array<Totals, kMostModelSums> totals;
    std::size_t size = 0;
    const auto *series = client.series.load(std::memory_order_acquire);
    for (; series != nullptr; series = series->next) {
        std::size_t i = 0;
        while (i < size && models[i] != series->model.view()) {
            i++;
        }
        if (i == models.size()) {
            continue;
        }
        if (i == size) {
            models[size++] = series->model.view();
        }
        for (std::size_t f = 0; f < kFigures; f++) {
            totals[i][static_cast<Figure>(f)] += series->figures[f].get();
        }
    }
    while (size > 0) {
        size--;
        visit(models[size], totals[size]);
    }
}

inline Refusals sum_refusals(const ClientRecord &client) noexcept {
    Refusals sum{};
    const auto *presence = client.presences.load(std::memory_order_acquire);
    for (; presence != nullptr; presence = presence->next) {
        for (std::size_t i = 0; i < kDenials; i++) {
            sum[i] += presence->refusals[i].get();
        }
    }
    return sum;
}

inline std::uint64_t count_open(const ClientRecord &client) noexcept {
    std::uint64_t open = 0;
    const auto *presence = client.presences.load(std::memory_order_acquire);
    for (; presence != nullptr; presence = presence->next) {
        open += presence->open.get();
    }
    return open;
}

}  // namespace keystile
