// The part of MeterZone that reserves and settles.

#include <algorithm>
#include <limits>

#include "limit_period.hpp"
#include "meter_zone.hpp"
#include "model_pattern.hpp"

namespace keystile {
namespace {

std::uint64_t sum(std::uint64_t a, std::uint64_t b) noexcept {
    auto most = std::numeric_limits<std::uint64_t>::max();
    return a > most - b ? most : a + b;
}

// A process may be killed between any two stores: these come in this order.
void in_this_order() noexcept {
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

bool is_current(const LimitState &state, std::int64_t now) noexcept {
    return state.per == LimitPeriod::none ||
           state.window == period_start(state.per, now) ||
           state.window == period_end(state.per, now);
}

void roll(LimitState &state, std::int64_t now) noexcept {
    if (!is_current(state, now)) {
        state.used = 0;
        in_this_order();
        state.window = period_start(state.per, now);
    }
}

bool is_about(const Limit &limit, MeterZone::Scope scope,
              std::string_view model) noexcept {
    bool is_of_stream =
        limit.kind == LimitKind::concurrent && limit.model.empty();
    if (scope != MeterZone::Scope::both &&
        is_of_stream != (scope == MeterZone::Scope::stream)) {
        return false;
    }
    return limit.model.empty() ||
           (!model.empty() && model_matches(limit.model, model));
}

std::int64_t reset_of(const Limit &limit, std::int64_t now) noexcept {
    return limit.per == LimitPeriod::none ? 0 : period_end(limit.per, now);
}

// To whoever has reached both.
bool says_more(const UsedUp &a, const UsedUp &b) noexcept {
    return a.is_spent != b.is_spent ? a.is_spent : a.resets_at > b.resets_at;
}

std::uint64_t amount_of(LimitKind kind, const Spending &spending) noexcept {
    switch (kind) {
    case LimitKind::tokens:
        return spending.tokens;
    case LimitKind::usd:
        return spending.cost;
    case LimitKind::requests:
    case LimitKind::concurrent:
        break;
    }
    return 0;
}

}  // namespace

std::uint64_t LimitState::used_at(std::int64_t now) const noexcept {
    return is_current(*this, now) ? used : 0;
}

LimitState *MeterZone::limit_state(ClientRecord &client,
                                   const Limit &limit) noexcept {
    auto *state = client.limits;
    for (; state != nullptr; state = state->next) {
        if (state->kind == limit.kind && state->per == limit.per &&
            state->model.view() == limit.model) {
            return state;
        }
    }
    state = make<LimitState>();
    if (state == nullptr) {
        return nullptr;
    }
    state->kind = limit.kind;
    state->per = limit.per;
    state->model.set(limit.model);
    state->next = client.limits;
    in_this_order();
    client.limits = state;
    return state;
}

std::optional<UsedUp> MeterZone::find_used_up(
    std::span<const Limit> limits, std::span<LimitState *const> states,
    Scope scope, std::string_view model, std::int64_t now) noexcept {
    std::optional<UsedUp> found;
    for (std::size_t i = 0; i < limits.size(); i++) {
        const auto &limit = limits[i];
        if (!is_about(limit, scope, model)) {
            continue;
        }
        if (states[i] == nullptr) {
            return UsedUp{nullptr, 0, 0};
        }
        auto used = states[i]->used_at(now);
        UsedUp here{&limit, sum(used, states[i]->reserved),
                    reset_of(limit, now), used >= limit.most};
        if (here.used >= limit.most && (!found || says_more(here, *found))) {
            found = here;
        }
    }
    return found;
}

std::optional<UsedUp> MeterZone::find_used_up(
    std::span<const Limit> limits, std::span<LimitState *const> states,
    std::string_view model, std::int64_t now) noexcept {
    return find_used_up(limits, states, Scope::both, model, now);
}

std::optional<UsedUp> MeterZone::reserve(std::span<const Limit> limits,
                                         std::span<LimitState *const> states,
                                         Scope scope, std::string_view model,
                                         const Spending &estimate,
                                         std::int64_t now, std::uint16_t place,
                                         Reservation &held) noexcept {
    auto used_up = find_used_up(limits, states, scope, model, now);
    if (used_up) {
        if (used_up->limit == nullptr) {
            note_full();
        }
        return used_up;
    }
    held.place_ = place;
    for (std::size_t i = 0; i < limits.size(); i++) {
        if (is_about(limits[i], scope, model) &&
            !set_aside(*states[i], estimate, now, held)) {
            settle(held, false, {}, now);
            return UsedUp{nullptr, 0, 0};
        }
    }
    return std::nullopt;
}

// The hold says what is reserved before it is: leave() then reckons anew what
// a killed process was about to change.
bool MeterZone::set_aside(LimitState &state, const Spending &estimate,
                          std::int64_t now, Reservation &held) noexcept {
    if (held.size_ == held.parts_.size()) {
        return false;
    }
    auto &part = held.parts_[held.size_];
    if (state.kind == LimitKind::requests) {
        roll(state, now);
        state.used = sum(state.used, 1);
        part = {&state, nullptr, state.window};
        held.size_++;
        return true;
    }
    auto *hold = take_hold();
    if (hold == nullptr) {
        return false;
    }
    hold->amount = std::max<std::uint64_t>(amount_of(state.kind, estimate), 1);
    hold->place = held.place_;
    in_this_order();
    hold->state = &state;
    in_this_order();
    state.reserved = sum(state.reserved, hold->amount);
    part = {&state, hold, 0};
    held.size_++;
    return true;
}

void MeterZone::settle(Reservation &held, bool was_sent, const Spending &used,
                       std::int64_t now) noexcept {
    for (std::size_t i = 0; i < held.size_; i++) {
        const auto &part = held.parts_[i];
        auto &state = *part.state;
        if (part.hold == nullptr) {
            bool counts = was_sent || state.window != part.window;
            state.used -= !counts && state.used > 0;
            continue;
        }
        roll(state, now);
        state.used = sum(state.used, amount_of(state.kind, used));
        // Not so when leave() gave it back.
        if (part.hold->state == &state && part.hold->place == held.place_) {
            in_this_order();
            free_hold(*part.hold);
        }
    }
    held.size_ = 0;
}

void MeterZone::charge_others(std::span<const Limit> limits,
                              std::span<LimitState *const> states,
                              std::string_view model, const Reservation &held,
                              const Spending &used,
                              std::int64_t now) noexcept {
    auto parts = held.parts_.first(held.size_);
    for (std::size_t i = 0; i < limits.size(); i++) {
        auto *state = states[i];
        bool is_held = std::any_of(
            parts.begin(), parts.end(),
            [state](const auto &part) { return part.state == state; });
        if (state != nullptr && !limits[i].model.empty() && !is_held &&
            is_about(limits[i], Scope::turn, model)) {
            roll(*state, now);
            state->used = sum(state->used, amount_of(state->kind, used));
        }
    }
}

void MeterZone::charge(std::span<const Limit> limits,
                       std::span<LimitState *const> states,
                       std::string_view model, bool was_sent,
                       const Spending &used, std::int64_t now) noexcept {
    for (std::size_t i = 0; i < limits.size(); i++) {
        if (states[i] == nullptr || !is_about(limits[i], Scope::turn, model)) {
            continue;
        }
        auto &state = *states[i];
        roll(state, now);
        state.used = sum(state.used, state.kind == LimitKind::requests
                                         ? std::uint64_t{was_sent}
                                         : amount_of(state.kind, used));
    }
}

Spending MeterZone::reserved(const Reservation &held) noexcept {
    Spending most;
    for (std::size_t i = 0; i < held.size_; i++) {
        const auto &part = held.parts_[i];
        if (part.hold == nullptr) {
            continue;
        }
        auto amount = part.hold->amount;
        if (part.state->kind == LimitKind::tokens) {
            most.tokens = std::max(most.tokens, amount);
        } else if (part.state->kind == LimitKind::usd) {
            most.cost = std::max(most.cost, amount);
        }
    }
    return most;
}

Hold *MeterZone::take_hold() noexcept {
    if (free_hold_ != nullptr) {
        auto *hold = free_hold_;
        free_hold_ = hold->next;
        return hold;
    }
    auto *hold = make<Hold>();
    if (hold != nullptr) {
        hold->all_next = holds_.load(std::memory_order_relaxed);
        holds_.store(hold, std::memory_order_release);
    }
    return hold;
}

void MeterZone::free_hold(Hold &hold) noexcept {
    auto &reserved = hold.state->reserved;
    reserved -= std::min(reserved, hold.amount);
    in_this_order();
    hold.state = nullptr;
    in_this_order();
    hold.next = free_hold_;
    in_this_order();
    free_hold_ = &hold;
}

// The process may have been killed between a hold and what it is part of: for
// each limit that it held a part of, what is reserved is reckoned anew, of
// the holds of others. So is the list of free holds.
void MeterZone::free_holds_of(std::uint16_t place) noexcept {
    auto *all = holds_.load(std::memory_order_relaxed);
    recounts_++;
    for (auto *hold = all; hold != nullptr; hold = hold->all_next) {
        if (hold->state != nullptr && hold->place == place) {
            hold->state->reserved = 0;
            hold->state->recount = recounts_;
        }
    }
    for (auto *hold = all; hold != nullptr; hold = hold->all_next) {
        auto *state = hold->state;
        if (state != nullptr && hold->place != place &&
            state->recount == recounts_) {
            state->reserved = sum(state->reserved, hold->amount);
        }
    }
    in_this_order();
    free_hold_ = nullptr;
    for (auto *hold = all; hold != nullptr; hold = hold->all_next) {
        if (hold->place == place) {
            hold->state = nullptr;
        }
        if (hold->state == nullptr) {
            in_this_order();
            hold->next = free_hold_;
            in_this_order();
            free_hold_ = hold;
        }
    }
}

}  // namespace keystile
