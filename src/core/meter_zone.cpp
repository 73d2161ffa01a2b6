#include "meter_zone.hpp"

#include <algorithm>
#include <bit>

namespace keystile {
namespace {

constexpr std::size_t kLine = 64;  // what processors share memory by

constexpr std::size_t round_up(std::size_t bytes) noexcept {
    return (bytes + kLine - 1) & ~(kLine - 1);
}

// FNV-1a. Names come from the configuration, not from those who call.
std::uint64_t hash(std::uint64_t seed, std::string_view text) noexcept {
    for (char c : text) {
        seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    }
    return seed;
}

template <typename T>
void push(std::atomic<T *> &list, T &node) noexcept {
    node.next = list.load(std::memory_order_relaxed);
    list.store(&node, std::memory_order_release);
}

template <typename Histogram, std::size_t N>
void add_to(Histogram &sum, const std::array<Count, N> &buckets,
            const Count &milliseconds) noexcept {
    static_assert(N == Histogram::kBuckets);
    for (std::size_t i = 0; i < N; i++) {
        sum.buckets[i] += buckets[i].get();
    }
    sum.milliseconds += milliseconds.get();
}

}  // namespace

MeterZone *MeterZone::create(std::span<std::byte> memory,
                             std::int64_t now) noexcept {
    auto address = reinterpret_cast<std::uintptr_t>(memory.data());
    if (memory.size() < kLeastSize || address % kLine != 0) {
        return nullptr;
    }
    return new (memory.data()) MeterZone{memory.size(), now};
}

// What is taken here fits in kLeastSize.
MeterZone::MeterZone(std::size_t size, std::int64_t now) noexcept
    : size_{size}, used_{round_up(sizeof(MeterZone))}, counted_since_{now} {
    auto count = std::bit_floor(size / 4096);
    auto *buckets = static_cast<Bucket *>(take(count * sizeof(Bucket)));
    for (std::size_t i = 0; i < count; i++) {
        new (buckets + i) Bucket{nullptr};
    }
    buckets_ = {buckets, count};
    restored_times_ = make<Times>();
}

// A process that is killed after this has lost the memory, and no more.
void *MeterZone::take(std::size_t bytes) noexcept {
    auto used = used_.load(std::memory_order_relaxed);
    bytes = round_up(bytes);
    if (bytes > size_ - used) {
        note_full();
        return nullptr;
    }
    used_.store(used + bytes, std::memory_order_release);
    return reinterpret_cast<std::byte *>(this) + used;
}

MeterZone::Place *MeterZone::place_of(std::uint16_t place) const noexcept {
    if (place == 0 || place > kMostPlaces) {
        return nullptr;
    }
    auto i = static_cast<std::size_t>(place - 1);
    auto *places = places_[i / kPlacesAtOnce].load(std::memory_order_acquire);
    return places == nullptr ? nullptr : &(*places)[i % kPlacesAtOnce];
}

MeterZone::Place *MeterZone::make_places(std::uint16_t first) noexcept {
    if (first > kMostPlaces) {
        return nullptr;
    }
    auto *places = make<Places>();
    if (places == nullptr) {
        return nullptr;
    }
    places_[(first - 1U) / kPlacesAtOnce].store(places,
                                                std::memory_order_release);
    return &places->front();
}

std::uint16_t MeterZone::enter(std::int32_t pid) noexcept {
    Place *free_place = nullptr;
    std::uint16_t number = 0;
    std::uint16_t n = 1;
    for (; auto *place = place_of(n); n++) {
        if (place->pid.load(std::memory_order_relaxed) == pid) {
            leave(n);
        }
        if (free_place == nullptr &&
            place->pid.load(std::memory_order_relaxed) == 0) {
            free_place = place;
            number = n;
        }
    }
    if (free_place == nullptr) {
        free_place = make_places(n);
        number = n;
    }
    if (free_place == nullptr) {
        return 0;
    }
    if (free_place->times.load(std::memory_order_relaxed) == nullptr) {
        free_place->times.store(make<Times>(), std::memory_order_release);
    }
    free_place->pid.store(pid, std::memory_order_release);
    return number;
}

// The pid goes last: whoever is killed in here leaves all of it to be done
// again.
void MeterZone::leave(std::uint16_t place) noexcept {
    auto *left = place_of(place);
    if (left == nullptr) {
        return;
    }
    free_holds_of(place);
    for (auto *p = left->presences; p != nullptr; p = p->same_place) {
        p->open.set(0);
    }
    left->pid.store(0, std::memory_order_release);
}

MeterZone::Bucket &MeterZone::bucket_of(std::string_view set,
                                        std::string_view id) noexcept {
    auto value = hash(hash(0xCBF29CE484222325, set) * 31, id);
    return buckets_[(value ^ value >> 32) & (buckets_.size() - 1)];
}

// A client is found by its hash, and listed: two links, between which a
// process may be killed. It is listed first, and last_client_ follows when it
// can be found: a client that is listed behind it is still to be linked.
void MeterZone::finish_client() noexcept {
    auto *last = last_client_.load(std::memory_order_relaxed);
    auto &link = last == nullptr ? first_client_ : last->next;
    auto *newest = link.load(std::memory_order_relaxed);
    if (newest == nullptr) {
        return;
    }
    auto &bucket = bucket_of(newest->set, newest->id);
    auto *head = bucket.load(std::memory_order_relaxed);
    if (head != newest) {
        newest->same_hash = head;
        bucket.store(newest, std::memory_order_release);
    }
    last_client_.store(newest, std::memory_order_release);
}

ClientRecord *MeterZone::client(std::string_view set,
                                std::string_view id) noexcept {
    finish_client();
    auto *found = bucket_of(set, id).load(std::memory_order_relaxed);
    for (; found != nullptr; found = found->same_hash) {
        if (found->id == id && found->set == set) {
            return found;
        }
    }
    if (set.size() > kLongestName || id.size() > kLongestName) {
        note_full();
        return nullptr;
    }
    void *memory = take(sizeof(ClientRecord) + set.size() + id.size());
    if (memory == nullptr) {
        return nullptr;
    }
    auto *record = new (memory) ClientRecord{};
    auto *text = static_cast<char *>(memory) + sizeof(ClientRecord);
    record->set = {text, set.size()};
    text = std::copy(set.begin(), set.end(), text);
    record->id = {text, id.size()};
    std::copy(id.begin(), id.end(), text);

    auto *last = last_client_.load(std::memory_order_relaxed);
    record->number = last == nullptr ? 1 : last->number + 1;
    auto &link = last == nullptr ? first_client_ : last->next;
    link.store(record, std::memory_order_release);
    finish_client();
    return record;
}

Series *MeterZone::series(ClientRecord &client, std::string_view model,
                          std::uint16_t place) noexcept {
    ModelName name;
    bool is_known = !name.set(model) || model == kOtherModels;
    auto *series = client.series.load(std::memory_order_relaxed);
    for (; series != nullptr; series = series->next) {
        if (series->model.view() != name.view()) {
            continue;
        }
        if (series->place == place) {
            return series;
        }
        is_known = true;
    }
    if (!is_known && client.models == kMostModels) {
        return this->series(client, kOtherModels, place);
    }
    series = make<Series>();
    if (series == nullptr) {
        return nullptr;
    }
    client.models = static_cast<std::uint8_t>(client.models + !is_known);
    series->model = name;
    series->place = place;
    push(client.series, *series);
    return series;
}

Presence *MeterZone::presence(ClientRecord &client,
                              std::uint16_t place) noexcept {
    auto *presence = client.presences.load(std::memory_order_relaxed);
    for (; presence != nullptr; presence = presence->next) {
        if (presence->place == place) {
            return presence;
        }
    }
    presence = make<Presence>();
    if (presence == nullptr) {
        return nullptr;
    }
    presence->place = place;
    // The place knows it before anyone counts in it.
    if (auto *owner = place_of(place); owner != nullptr) {
        presence->same_place = owner->presences;
        std::atomic_signal_fence(std::memory_order_seq_cst);
        owner->presences = presence;
    }
    push(client.presences, *presence);
    return presence;
}

ClientRecord *MeterZone::first_client() const noexcept {
    return first_client_.load(std::memory_order_acquire);
}

std::size_t MeterZone::client_count() const noexcept {
    auto *last = last_client_.load(std::memory_order_acquire);
    return last == nullptr ? 0 : last->number;
}

std::size_t MeterZone::size() const noexcept { return size_; }

std::size_t MeterZone::free() const noexcept {
    return size_ - used_.load(std::memory_order_relaxed);
}

std::uint64_t MeterZone::full() const noexcept {
    return full_.load(std::memory_order_relaxed);
}

void MeterZone::note_full() noexcept {
    full_.fetch_add(1, std::memory_order_relaxed);
}

unsigned MeterZone::processes() const noexcept {
    unsigned count = 0;
    for (std::uint16_t n = 1; const auto *place = place_of(n); n++) {
        count += place->pid.load(std::memory_order_relaxed) != 0;
    }
    return count;
}

std::int64_t MeterZone::counted_since() const noexcept {
    return counted_since_.load(std::memory_order_relaxed);
}

void MeterZone::set_counted_since(std::int64_t when) noexcept {
    counted_since_.store(when, std::memory_order_relaxed);
}

MeterZone::Times *MeterZone::times(std::uint16_t place) noexcept {
    if (place == 0) {
        return restored_times_;
    }
    auto *taken = place_of(place);
    if (taken == nullptr || taken->pid.load(std::memory_order_relaxed) == 0) {
        return nullptr;
    }
    return taken->times.load(std::memory_order_acquire);
}

// Those of places that were left, too.
template <typename Visit>
void MeterZone::for_each_times(Visit visit) const noexcept {
    visit(*restored_times_);
    for (std::uint16_t n = 1; const auto *place = place_of(n); n++) {
        const auto *times = place->times.load(std::memory_order_acquire);
        if (times != nullptr) {
            visit(*times);
        }
    }
}

FirstTokenHistogram MeterZone::first_token() const noexcept {
    FirstTokenHistogram sum;
    for_each_times([&sum](const Times &times) {
        add_to(sum, times.first_token, times.first_token_milliseconds);
    });
    return sum;
}

DurationHistogram MeterZone::duration() const noexcept {
    DurationHistogram sum;
    for_each_times([&sum](const Times &times) {
        add_to(sum, times.duration, times.duration_milliseconds);
    });
    return sum;
}

}  // namespace keystile
