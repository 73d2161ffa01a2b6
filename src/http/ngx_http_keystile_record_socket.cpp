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
    set_time(job->record.head);
    waiting_[(first_ + count_) % kMostWaiting] = {
        .job = job,
        .began = ngx_current_msec,
        .prewarm = request.prewarm,
        .is_answered = false,
    };
    count_++;
}

void Recorder::provider_text(std::string_view text) noexcept {
    if (!std::exchange(in_message_, true)) {
        begin_message();
    }
    if (is_socket_ && into_ != nullptr) {
        into_->record.response.append(text);
    }
}

// It is no answer to what is asked meanwhile.
void Recorder::begin_message() noexcept {
    into_ = nullptr;
    if (!is_socket_ || (count_ == 0 && !may_keep_rest())) {
        return;
    }
    into_ = count_ != 0 ? waiting_[first_].job : rest_.job;
    auto began = count_ != 0 ? waiting_[first_].began : rest_.began;
    auto &record = into_->record;
    record.response.append({&kMessageMark, 1});
    if (!record.head.first_token) {
        record.head.first_token = ngx_current_msec - began;
    }
}

bool Recorder::may_keep_rest() noexcept {
    if (!rest_.may_come) {
        return false;
    }
    if (rest_.job == nullptr) {
        rest_.job = likeness();
        if (rest_.job == nullptr) {
            return false;
        }
    } else if (rest_.is_answer) {
        return true;
    }
    // What came before was none: it begins here.
    auto &record = rest_.job->record;
    record.response.restart(conf_.most);
    set_time(record.head);
    record.head.has_request = false;
    record.head.first_token.reset();
    rest_.began = ngx_current_msec;
    return true;
}

void Recorder::provider_end(bool is_answer) noexcept {
    in_message_ = false;
    if (!is_answer || into_ == nullptr) {
        return;
    }
    if (into_ == rest_.job) {
        rest_.is_answer = true;
    } else {
        waiting_[first_].is_answered = true;
    }
}

void Recorder::end_turn(const Usage &usage, Picodollars cost) noexcept {
    if (!is_socket_) {
        return;
    }
    into_ = nullptr;
    if (usage.late) {
        return end_late(usage, cost);
    }
    if (count_ == 0) {
        return;
    }
    auto &waiting = waiting_[first_];
    first_ = (first_ + 1) % kMostWaiting;
    count_--;
    rest_.may_come = rest_.may_come || (usage.error && !usage.complete);
    // Not every server knows what "generate": false means.
    bool may_be_more = waiting.is_answered && !usage.complete;
    if (waiting.prewarm && usage.output.value_or(0) == 0 && !may_be_more) {
        drop_record_job(waiting.job);
        return;
    }
    end_job(waiting.job, waiting.began, usage, cost);
}

// Others may be yet to come. What came while another turn waited is in the line
// of that one.
void Recorder::end_late(const Usage &usage, Picodollars cost) noexcept {
    bool costs = usage.input || usage.output;
    if (rest_.job == nullptr && costs && may_keep_rest()) {
        rest_.is_answer = true;
    }
    auto rest = std::exchange(rest_, Rest{.job = nullptr,
                                          .began = 0,
                                          .may_come = rest_.may_come,
                                          .is_answer = false});
    if (rest.job == nullptr) {
        return;
    }
    if (costs || rest.is_answer) {
        end_job(rest.job, rest.began, usage, cost);
    } else {
        drop_record_job(rest.job);
    }
}

void Recorder::end_job(RecordJob *job, ngx_msec_t began, const Usage &usage,
                       Picodollars cost) noexcept {
    auto &head = job->record.head;
    head.usage = usage;
    if (knows_cost()) {
        head.cost = cost;
    }
    time_job(*job, began);
    submit(job);
}

// The socket closes.
void Recorder::end_rest(RecordEnd end) noexcept {
    auto rest = std::exchange(rest_, Rest{});
    if (rest.job == nullptr || !rest.is_answer) {
        drop_record_job(rest.job);
        return;
    }
    rest.job->record.head.end = end;
    time_job(*rest.job, rest.began);
    submit(rest.job);
}

void Recorder::end_waiting(RecordEnd end) noexcept {
    end = end == RecordEnd::whole ? RecordEnd::provider_left : end;
    into_ = nullptr;
    drop_record_job(std::exchange(asking_, nullptr));
    end_rest(end);
    for (; count_ != 0; count_--) {
        auto &waiting = waiting_[first_];
        first_ = (first_ + 1) % kMostWaiting;
        if (waiting.prewarm && !waiting.is_answered) {
            drop_record_job(waiting.job);
            continue;
        }
        auto &head = waiting.job->record.head;
        head.end = end;
        time_job(*waiting.job, waiting.began);
        submit(waiting.job);
    }
    is_socket_ = false;
}

}  // namespace keystile
