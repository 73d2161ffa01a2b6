// keystile_record: what is kept of a turn while it passes, to be written to a
// file when it is over. Nothing here waits for that: bytes are copied into
// memory that is bounded, and handed to a thread (_record_writer).

#pragma once

#include "ngx/nginx.hpp"

#include "core/socket_usage.hpp"
#include "ngx_http_keystile_record_writer.hpp"

namespace keystile {

class Exchange;

// One file, of a cycle.
struct RecordFile {
    ngx_str_t name;  // with a NUL after it
    std::uint64_t most;
    ngx_fd_t fd;       // the master's, until it has given the file away
    RecordSink *sink;  // of this process; null until there is one
};

// keystile_record, as a location has it.
struct RecordConf {
    RecordFile *file;
    std::size_t most;  // bytes of each body
    bool bodies;
};

class Recorder final : public SocketTexts {
public:
    // For a request that goes up, in its present location. A recorder of an
    // earlier location ends.
    static void begin(ngx_http_request_t *r, Exchange &exchange) noexcept;

    Recorder(ngx_http_request_t *r, Exchange &exchange,
             const RecordConf &conf) noexcept
        : r_{r}, exchange_{exchange}, conf_{conf} {}
    Recorder(const Recorder &) = delete;
    Recorder &operator=(const Recorder &) = delete;

    // What goes up of the request, where it goes up as it comes.
    void upload(const ngx_chain_t *in) noexcept;

    // More of the reply's body, as it came.
    void reply(std::string_view piece) noexcept;

    // The reply is over, for the reason that nginx's finalize_request has.
    // Once; the turns of a socket that have not ended end, too.
    void end(ngx_int_t rc) noexcept;

    // A WebSocket is open: its turns are recorded one by one.
    void open_socket() noexcept;

    // Of the oldest turn that waits, or, where its usage comes late, of what
    // came after that turn's error. Requires nothing of them: there may be
    // none.
    void end_turn(const Usage &usage, Picodollars cost) noexcept;

    // Of the messages of a socket.
    void client_text(std::string_view text) noexcept override;
    void asked(const TurnRequest &request) noexcept override;
    void not_asked() noexcept override;
    void provider_text(std::string_view text) noexcept override;
    void provider_end(bool is_answer) noexcept override;

private:
    // A turn of a socket that waits for its answer, or that is being asked.
    struct Waiting {
        RecordJob *job;
        ngx_msec_t began;
        bool prewarm;
        bool is_answered;  // a part of an answer came, and not only an error
    };

    static constexpr std::size_t kMostWaiting = 64;

    // What came after an error that had ended a turn, while none waited: the
    // rest of its answer may be among it.
    struct Rest {
        RecordJob *job;
        ngx_msec_t began;
        bool may_come;
        bool is_answer;  // and not what a provider says besides
    };

    void describe_request(RecordHead &head) const noexcept;
    void describe_reply(RecordHead &head) const noexcept;
    void take_body(RecordBytes &bytes) const noexcept;
    RecordJob *likeness() const noexcept;
    static void set_time(RecordHead &head) noexcept;
    bool knows_cost() const noexcept;
    RecordEnd end_of(ngx_int_t rc) const noexcept;
    void time_job(RecordJob &job, ngx_msec_t began) const noexcept;
    void submit(RecordJob *job) noexcept;
    void begin_message() noexcept;
    bool may_keep_rest() noexcept;
    void end_job(RecordJob *job, ngx_msec_t began, const Usage &usage,
                 Picodollars cost) noexcept;
    void end_late(const Usage &usage, Picodollars cost) noexcept;
    void end_rest(RecordEnd end) noexcept;
    void end_waiting(RecordEnd end) noexcept;
    void give_up() noexcept;

    ngx_http_request_t *r_;
    Exchange &exchange_;
    const RecordConf &conf_;
    ngx_msec_t began_ = ngx_current_msec;
    RecordJob *job_ = nullptr;  // of HTTP; on a socket, its likeness
    bool head_passed_ = false;  // of an upload

    // Of a socket.
    bool is_socket_ = false;
    bool in_message_ = false;    // of the provider's
    RecordJob *into_ = nullptr;  // where it is kept
    Rest rest_{};
    RecordJob *asking_ = nullptr;
    Waiting *waiting_ = nullptr;  // kMostWaiting of them
    std::size_t first_ = 0;
    std::size_t count_ = 0;
};

}  // namespace keystile
