// An open WebSocket: both directions are read as they pass, turns are judged
// before they go up, and counted when they end.
//
// nginx moves the bytes of an upgraded connection by c->recv and c->send and
// asks nobody; so the two recv functions are replaced.

#pragma once

#include "ngx/nginx.hpp"

#include "core/socket_usage.hpp"
#include "ngx_http_keystile_meter.hpp"

namespace keystile {

class Tunnel {
public:
    // For the 101 that has just come: what already is there of either side is
    // taken, too. NGX_ERROR when out of memory.
    static ngx_int_t open(ngx_http_request_t *r, Exchange &exchange) noexcept;

    // nginx is about to close the connections: puts back their functions, and
    // settles the turns that have not ended. Once.
    void close() noexcept;

    Tunnel(ngx_http_request_t *r, Exchange &exchange, const Client *client,
           Meter *meter) noexcept;
    Tunnel(const Tunnel &) = delete;
    Tunnel &operator=(const Tunnel &) = delete;

private:
    // A turn that was asked for.
    struct Waiting {
        Turn turn;
        Waiting *next;
    };

    // Of the client's message that has not ended.
    enum class Message : std::uint8_t {
        undecided,  // nothing of it has gone up
        passing,    // it was judged, and found good
        unjudged,   // it goes up, and is judged before its last byte does
        dropped,    // it was refused
    };

    static ssize_t recv_client(ngx_connection_t *c, u_char *buf,
                               std::size_t size) noexcept;
    static ssize_t recv_provider(ngx_connection_t *c, u_char *buf,
                                 std::size_t size) noexcept;

    ssize_t read_client(u_char *buf, std::size_t size) noexcept;
    ssize_t follow_client(u_char *buf, std::size_t size) noexcept;
    ssize_t judge_client(u_char *buf, std::size_t size) noexcept;
    bool judge_piece(std::string_view piece, u_char *&out) noexcept;
    bool end_message(const TurnRequest &request, std::string_view bytes,
                     u_char *&out) noexcept;
    bool part_message(std::string_view bytes, u_char *&out) noexcept;
    bool has_room() noexcept;
    static u_char *make_room(ngx_pool_t *pool) noexcept;
    bool judge(const TurnRequest &request, const ModelName &model) noexcept;
    std::size_t step(std::size_t most) const noexcept;
    void release(std::string_view bytes, u_char *&out) noexcept;
    static void pass(std::string_view bytes, u_char *&out) noexcept;

    std::optional<ssize_t> read_provider(ngx_connection_t *c, u_char *buf,
                                         std::size_t size) noexcept;
    u_char *follow_provider(u_char *begin, u_char *fresh, u_char *end,
                            u_char *limit) noexcept;
    u_char *hide(const Usage &error, u_char *begin, u_char *at, u_char *end,
                 u_char *limit) noexcept;
    u_char *replace(u_char *from, u_char *to, u_char *end,
                    u_char *limit) noexcept;
    u_char *hold(u_char *begin, u_char *end) noexcept;
    void give_kept(u_char *buf) noexcept;
    ssize_t give_errors(u_char *buf, std::size_t size) noexcept;

    // Of a message that asks for a turn; of one whose end has come; of the
    // oldest that waits.
    const ModelName &model_of(const TurnRequest &request) const noexcept;
    bool begin_turn(const ModelName &model, std::size_t waiting) noexcept;
    void end_pending(const TurnRequest &request) noexcept;
    void end_turn(const Usage &usage) noexcept;
    void settle_turn(const Usage &usage) noexcept;
    Picodollars cost() const noexcept;
    bool may_go_on(const Usage &usage) const noexcept;
    void settle_doubtful(const Outcome &outcome) noexcept;
    void charge_lapsed() noexcept;
    void judge_unasked(const Usage &usage) noexcept;
    void charge_unasked(const Usage &usage) noexcept;
    void end_if_used_up(const ModelName &model) noexcept;
    void charge_doubted(const Usage &usage) noexcept;
    Waiting *make_waiting() noexcept;

    bool refuse(Denial denial) noexcept;
    bool refuse(const UsedUp &used_up) noexcept;
    void tell(Denial denial, std::string_view more,
              std::int64_t resets_at) noexcept;
    void put_error(const ErrorReply &reply, std::string_view more,
                   std::int64_t resets_at) noexcept;
    ssize_t cut(const char *why) noexcept;
    void wake_provider() noexcept;

    // Bytes of a message that are kept until it is judged: its type and its
    // model are among the first as a rule, and errors are short. Less than the
    // smallest buffer that nginx reads into.
    static constexpr std::size_t kHeld = 2048;
    static constexpr std::size_t kErrors = 4096;
    static constexpr unsigned kReadsAtOnce = 16;
    static constexpr std::size_t kMostWaiting = 64;

    ngx_http_request_t *r_;
    Exchange &exchange_;
    const Client *client_;  // null: callers without a key
    Meter *meter_;          // null: nobody counts
    bool hides_;            // a credential of ours is in use
    bool judges_;           // there are rules for its turns
    ModelName named_;       // by the target
    SocketUsage usage_;

    ngx_recv_pt client_recv_ = nullptr;
    ngx_recv_pt provider_recv_ = nullptr;
    bool is_open_ = false;
    bool is_cut_ = false;

    ngx_str_t early_ = ngx_null_string;  // that came with the handshake
    u_char *held_ = nullptr;
    std::size_t held_size_ = 0;
    Message message_ = Message::undecided;

    u_char *kept_ = nullptr;  // of the provider's message, not yet given
    std::size_t kept_size_ = 0;

    u_char *errors_ = nullptr;  // frames for the client, not yet given
    std::size_t errors_size_ = 0;

    Waiting *first_ = nullptr;
    Waiting *last_ = nullptr;
    Waiting *spare_ = nullptr;
    std::size_t waiting_ = 0;
    ModelName doubted_;  // that the last turn which has ended was to ask
    Waiting *doubtful_ = nullptr;  // that turn, where an error ended it which
                                   // may be for another message
    bool says_else_ = false;       // messages that are no turns have gone up
    Waiting *pending_ = nullptr;   // whose message is not at its end
};

}  // namespace keystile
