// The figures of a zone at one moment, for those who show them. Plain values:
// whoever makes a report owns what its views refer to.

#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "credential_state.hpp"
#include "denial.hpp"
#include "figures.hpp"
#include "histogram.hpp"
#include "limit.hpp"
#include "record_loss.hpp"

namespace keystile {

struct ModelReport {
    std::string_view model;  // empty: not known
    Totals totals;
};

struct LimitReport {
    Limit limit;
    std::uint64_t used;      // in the present window
    std::uint64_t reserved;  // for what is open now
    std::int64_t resets_at;  // seconds since the epoch; 0 for `concurrent`
};

using Refusals = std::array<std::uint64_t, kDenials>;  // by Denial

struct ClientReport {
    std::string_view set;  // both empty: callers who are not known by a key
    std::string_view id;
    std::span<const ModelReport> models;
    std::span<const LimitReport> limits;
    Refusals refusals{};
    std::uint64_t open = 0;  // requests and sockets at this moment

    Totals totals() const noexcept {
        Totals sum;
        for (const auto &model : models) {
            sum += model.totals;
        }
        return sum;
    }
};

struct CredentialReport {
    std::string_view name;
    std::int64_t expires;   // seconds since the epoch; 0: not known, or never
    std::int64_t back_at;   // it cools down until then; 0: it does not
    CredentialFault fault;  // why it does
    std::uint64_t sent;     // tries
    std::array<std::uint64_t, kCredentialFaults> refusals;
};

struct ZoneReport {
    std::string_view zone;
    std::string_view version;    // of keystile
    std::int64_t now;            // seconds since the epoch
    std::int64_t counted_since;  // when the zone, or its state, began
    std::uint64_t size;          // bytes of the zone
    std::uint64_t free;          // of them, not in use
    std::uint64_t full;          // times that there was no room for a client,
                                 // a model or a reservation
    std::uint64_t processes;     // workers that use it
    std::int64_t saved_at;       // of its state file; 0: never, or none
    std::uint64_t save_failures;
    std::array<std::uint64_t, kRecordLosses> records{};  // by RecordLoss
    FirstTokenHistogram first_token;
    DurationHistogram duration;
    std::span<const ClientReport> clients;
    std::uint64_t clients_left_out;  // that the report has no room for,
    Totals left_out;                 // and what they have together
    Refusals left_out_refusals{};
    std::uint64_t left_out_open = 0;
    std::span<const CredentialReport> credentials;  // of all zones
};

}  // namespace keystile
