// The turns of a WebSocket, each a record of its own.

#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_record.hpp"

namespace keystile {

void Recorder::open_socket() noexcept {
    waiting_ = static_cast<Waiting *>(
        ngx_palloc(r_->pool, kMostWaiting * sizeof(Waiting)));
    is_socket_ = waiting_ != nullptr && job_ != nullptr;
    if (is_socket_) {
        describe_reply(job_->record.head);
        job_->record.head.response_encoding.set({});
        job_->record.head.request_encoding.set({});
    }
}

// A job for a turn: what is known of it is what is known of the socket.
RecordJob *Recorder::likeness() const noexcept {
    auto *job = make_record_job(*conf_.file, loc_conf(r_)->meter, conf_.most);
    if (job != nullptr) {
        job->record.head = job_->record.head;
    }
    return job;
}

// Turns and answers could not be told apart any more.
void Recorder::give_up() noexcept {
    end_waiting(RecordEnd::provider_left);
    is_socket_ = false;
    ngx_log_error(NGX_LOG_ERR, r_->connection->log, 0,
                  "keystile_record: the turns of a WebSocket are not recorded "
                  "any more: too many wait, or out of memory");
}

void Recorder::client_text(std::string_view text) noexcept {
    if (!is_socket_) {
        return;
    }
    if (asking_ == nullptr) {
        asking_ = likeness();
    }
    if (asking_ == nullptr) {
        return give_up();
    }
    asking_->record.request.append(text);
}

// What it said is not kept while the socket is idle.
void Recorder::not_asked() noexcept {
    if (asking_ != nullptr) {
        asking_->record.request.restart(conf_.most);
    }
}

void Recorder::asked(const TurnRequest &request) noexcept {
    if (!is_socket_) {
        return;
    }
    auto *job = asking_ != nullptr ? std::exchange(asking_, nullptr)
                                   : likeness();  // a binary message
    if (job == nullptr || count_ == kMostWaiting) {
        drop_record_job(job);
        return give_up();
    }
    auto *tp = ngx_timeofday();
    job->record.head.seconds = tp->sec;
    job->record.head.milliseconds = static_cast<std::uint16_t>(tp->msec);
    waiting_[(first_ + count_) % kMostWaiting] = {job, ngx_current_msec,
                                                  request.prewarm};
    count_++;
}

void Recorder::provider_text(std::string_view text) noexcept {
    bool begins = !std::exchange(in_message_, true);
    if (begins) {
        is_answer_ = count_ != 0;  // and not one to what is asked meanwhile
    }
    if (!is_socket_ || !is_answer_ || count_ == 0) {
        return;
    }
    auto &waiting = waiting_[first_];
    auto &record = waiting.job->record;
    if (begins) {
        record.response.append({&kMessageMark, 1});
    }
    if (!record.head.first_token) {
        record.head.first_token = ngx_current_msec - waiting.began;
    }
    record.response.append(text);
}

void Recorder::end_turn(const Usage &usage, Picodollars cost) noexcept {
    if (!is_socket_ || count_ == 0) {
        return;
    }
    auto &waiting = waiting_[first_];
    first_ = (first_ + 1) % kMostWaiting;
    count_--;
    // Not every server knows what "generate": false means.
    if (waiting.prewarm && usage.output.value_or(0) == 0) {
        drop_record_job(waiting.job);
        return;
    }
    auto &head = waiting.job->record.head;
    head.usage = usage;
    if (knows_cost()) {
        head.cost = cost;
    }
    time_job(*waiting.job, waiting.began);
    submit(waiting.job);
}

void Recorder::end_waiting(RecordEnd end) noexcept {
    drop_record_job(std::exchange(asking_, nullptr));
    for (; count_ != 0; count_--) {
        auto &waiting = waiting_[first_];
        first_ = (first_ + 1) % kMostWaiting;
        if (waiting.prewarm) {
            drop_record_job(waiting.job);
            continue;
        }
        auto &head = waiting.job->record.head;
        head.end = end == RecordEnd::whole ? RecordEnd::provider_left : end;
        time_job(*waiting.job, waiting.began);
        submit(waiting.job);
    }
    is_socket_ = false;
}

}  // namespace keystile
