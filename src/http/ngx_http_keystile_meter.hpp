// What a request costs: its part in the counters and the limits of its
// client. Begun when the request is admitted, settled once, when it is over.

#pragma once

#include "ngx/nginx.hpp"

#include "core/price_table.hpp"
#include "core/turn_request.hpp"
#include "core/usage.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {

class Exchange;

// A turn: one HTTP request, or one response.create on a socket, from the
// moment there was found room for it in the limits.
struct Turn {
    Reservation held;
    ngx_msec_t began = 0;            // ngx_current_msec
    ngx_msec_t first_token = 0;      // the same; 0: there was none yet
    ModelName model;                 // that was asked for, where that is known
    bool is_label = false;           // the beginning of a body names it so
    std::uint64_t likely_input = 0;  // tokens
    bool unasked = false;            // nothing was set aside for it
    bool prewarm = false;            // neither counted nor billed
};

// How a turn ended.
struct Outcome {
    bool was_sent;  // it went to the provider
    bool is_open;   // the provider may have charged for what was not seen
    Usage usage;    // as far as it was seen
};

class Meter {
public:
    // Bytes that a turn is taken to need where nothing says how many, in
    // tokens: of its input and of its output.
    static constexpr std::uint64_t kUnknownInput = 8192;
    static constexpr std::uint64_t kUnknownOutput = 2048;
    static constexpr std::uint64_t kBytesOfToken = 4;

    // Requires a ledger of the zone, and the request's pool.
    Meter(Zone &zone, Ledger &ledger, const PriceTable *prices,
          ngx_pool_t *pool) noexcept;
    Meter(const Meter &) = delete;
    Meter &operator=(const Meter &) = delete;

    // Looks for room in the limits for one more stream, turn, or both, and
    // sets it aside. Nothing is set aside where there is none. A turn that is
    // used again keeps the room of its reservation.
    std::optional<UsedUp> reserve(MeterZone::Scope scope, Turn &turn,
                                  std::uint64_t input_tokens) noexcept;

    // Whether there would be room for a turn, and for the socket that it is
    // on; of the limits on a model, for those of this one, if it is known.
    std::optional<UsedUp> find_used_up(std::string_view model) const noexcept;

    // Counts one in the limits of `requests`, and nowhere else: of a request
    // that is refused, and took too much to be refused again and again.
    void charge_request(std::string_view model) noexcept;

    // Counts a turn that is over, once for each reserve().
    void settle(Turn &turn, const Outcome &outcome) noexcept;

    bool is_of(const Ledger &ledger) const noexcept {
        return &ledger == &ledger_;
    }

    // Bytes that passed; counted with the turn that ends next.
    void sent(std::size_t bytes) noexcept { sent_ += bytes; }
    void received(std::size_t bytes) noexcept { received_ += bytes; }

    // Tokens that what has come since the last turn may be, at most.
    std::uint64_t likely_output() const noexcept {
        return received_ / kBytesOfToken;
    }

    // The stream is over: what is left is counted, and its place given back.
    void close() noexcept;

    // The sum of its turns, and the model of the last, as far as they are
    // known: before the end, too, since a log is written before that.
    struct Sum {
        Totals totals;
        ModelName model;
        bool has_usage;
    };
    Sum sum() const noexcept;

    // Of an HTTP request, and of its reply: null where that is not read.
    Turn http_turn;
    UsageReader *reader = nullptr;
    // Of a reply that is an error, which may have an answer in it.
    UsageReader *error_reader = nullptr;

private:
    Picodollars cost(const Usage &usage, const Turn &turn) const noexcept;
    Picodollars likely_cost(Picodollars known, const Usage &usage,
                            const Turn &turn) const noexcept;
    void charge(Turn &turn, bool was_sent, std::string_view model,
                const Spending &spent) noexcept;
    static void add_first_token(const Turn &turn, Totals &totals) noexcept;
    std::string_view known(std::string_view model) const noexcept;
    void count(std::string_view model, const Totals &totals) noexcept;
    void count_times(const Turn &turn, Totals &totals) noexcept;

    Zone &zone_;
    Ledger &ledger_;
    const PriceTable *prices_;
    ngx_pool_t *pool_;
    Reservation stream_;
    std::uint64_t sent_ = 0;
    std::uint64_t received_ = 0;
    Sum sum_{};
};

// Counts a refusal in the zone of the location, if it has one.
void count_refusal(ngx_http_request_t *r, const Identity &identity,
                   Denial denial) noexcept;

}  // namespace keystile
