#include "ngx_http_keystile_record_writer.hpp"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "core/record_line.hpp"
#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_record.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {
namespace {

constexpr std::size_t kMostHeld = 64 * 1024 * 1024;  // as README says
constexpr std::size_t kMostQueued = 1024;            // the same
constexpr std::size_t kKeptLine = 256 * 1024;
constexpr time_t kLongestDrain = 3;         // seconds
constexpr time_t kLongestDrainInHaste = 1;  // of 1.5 that nginx waits
constexpr ngx_msec_t kReportEvery = 1000;

constinit RecordBudget budget{kMostHeld};

// Jobs, the newest first: the main thread puts them here one by one, and the
// writer takes all at once.
constinit std::atomic<RecordJob *> newest{nullptr};
constinit std::atomic<std::size_t> queued{0};
constinit std::atomic<bool> stopping{false};
constinit sem_t wakeup{};

constinit pthread_t thread{};
constinit bool is_running = false;
constinit RecordSink *sinks = nullptr;
constinit RecordTally *tallies = nullptr;
constinit ngx_event_t report_event{};

// nginx's debug log reads the descriptor of each timer's connection.
constinit ngx_connection_t no_connection{};

void add(std::atomic<std::uint64_t> &to, std::uint64_t n = 1) noexcept {
    to.fetch_add(n, std::memory_order_relaxed);
}

// `dropped` is what the line says, `lost` why there is none.
void count(RecordJob &job, RecordLoss dropped, RecordLoss lost,
           int error) noexcept {
    bool has_line = lost == RecordLoss::none;
    job.sink.was_lost.store(!has_line, std::memory_order_relaxed);
    auto why = static_cast<std::size_t>(has_line ? dropped : lost);
    if (job.tally != nullptr) {
        add(job.tally->turns[why]);
    }
    if (has_line) {
        return;
    }
    job.sink.error.store(error, std::memory_order_relaxed);
    add(job.sink.lost[why]);
}

// ---- the thread ----
// It calls no function of nginx's, and looks at nothing of a cycle.

void reopen(RecordSink &sink) noexcept {
    sink.reopen_error.store(sink.file.open(sink.path),
                            std::memory_order_relaxed);
}

void write(RecordJob &job, HeapText &line) noexcept {
    auto &sink = job.sink;
    RecordLoss dropped{};
    bool made = write_record(job.record, line, dropped);
    job.record.request.drop();
    job.record.response.drop();
    auto lost = made ? sink.file.append(line.view(), sink.most)
                     : RecordLoss::write_error;
    count(job, dropped, lost, made ? sink.file.error() : ENOMEM);
    bool is_kept = !line.has_failed() && line.size() <= kKeptLine;
    is_kept ? line.cut(0) : line.clear();
}

// Oldest first.
RecordJob *take_queue() noexcept {
    RecordJob *oldest = nullptr;
    for (auto *job = newest.exchange(nullptr, std::memory_order_acquire);
         job != nullptr;) {
        auto *next = std::exchange(job->next, oldest);
        oldest = job;
        job = next;
    }
    return oldest;
}

void *run(void *) noexcept {
    HeapText line;
    for (;;) {
        while (sem_wait(&wakeup) != 0) {
        }
        bool last = stopping.load(std::memory_order_acquire);
        auto *job = take_queue();
        while (job != nullptr) {
            job->reopens ? reopen(job->sink) : write(*job, line);
            queued.fetch_sub(job->reopens ? 0 : 1, std::memory_order_relaxed);
            delete std::exchange(job, job->next);
        }
        if (last) {
            return nullptr;
        }
    }
}

// ---- the main thread ----

// Where a job waits already, the thread is awake, or about to be.
void push(RecordJob *job) noexcept {
    queued.fetch_add(job->reopens ? 0 : 1, std::memory_order_relaxed);
    auto *before = newest.load(std::memory_order_relaxed);
    do {
        job->next = before;
    } while (!newest.compare_exchange_weak(
        before, job, std::memory_order_release, std::memory_order_relaxed));
    if (before == nullptr) {
        sem_post(&wakeup);
    }
}

// Of what was lost since the last look: the reason that has most of it.
RecordLoss usual_loss(RecordSink &sink) noexcept {
    std::size_t usual = 0;
    std::uint64_t most = 0;
    for (std::size_t i = 0; i < sink.lost.size(); i++) {
        auto lost = sink.lost[i].load(std::memory_order_relaxed);
        auto more = lost - std::exchange(sink.lost_before[i], lost);
        usual = more > most ? i : usual;
        most = ngx_max(more, most);
        sink.lost_in_all += more;
    }
    return static_cast<RecordLoss>(usual);
}

// Said once when records begin to be lost, and once when they are written
// again.
void report(RecordSink &sink, ngx_log_t *log) noexcept {
    auto loss = usual_loss(sink);
    bool loses = loss != RecordLoss::none;
    if (loses && !sink.in_outage) {
        auto why = ngx::str(name_of(loss));
        ngx_log_error(NGX_LOG_ERR, log, sink.error.load(),
                      "keystile_record: turns are not written to \"%s\": %V",
                      sink.path, &why);
        sink.in_outage = true;
    } else if (!loses && sink.in_outage && !sink.was_lost.load()) {
        ngx_log_error(NGX_LOG_NOTICE, log, 0,
                      "keystile_record: turns are written to \"%s\" again; "
                      "%uL were not",
                      sink.path, sink.lost_in_all);
        sink.in_outage = false;
        sink.lost_in_all = 0;
    }

    // nginx flushes its files before a worker ends, too: that is none.
    int error = sink.reopen_error.load(std::memory_order_relaxed);
    if (is_running && error != sink.said_reopen_error && error != 0) {
        ngx_log_error(NGX_LOG_ERR, log, error,
                      "keystile_record: \"%s\" cannot be reopened", sink.path);
    }
    sink.said_reopen_error = error;
}

// Only here, since a zone may go with its cycle.
void add_to_zones() noexcept {
    for (auto *tally = tallies; tally != nullptr; tally = tally->next) {
        auto *meter = tally->zone->meter;
        for (std::size_t i = 0; meter != nullptr && i < kRecordLosses; i++) {
            auto turns =
                tally->turns[i].exchange(0, std::memory_order_relaxed);
            if (turns != 0) {
                add(meter->records[i], turns);
            }
        }
    }
}

RecordTally *find_tally(Zone *zone) noexcept {
    auto *tally = tallies;
    while (tally != nullptr && tally->zone != zone) {
        tally = tally->next;
    }
    if (tally == nullptr && zone != nullptr &&
        ngx_process == NGX_PROCESS_WORKER) {
        tally = new (std::nothrow) RecordTally{zone, tallies};
        tallies = tally == nullptr ? tallies : tally;
    }
    return tally;
}

void report_all(ngx_log_t *log) noexcept {
    add_to_zones();
    for (auto *sink = sinks; sink != nullptr; sink = sink->next) {
        report(*sink, log);
    }
}

void on_report(ngx_event_t *ev) noexcept {
    report_all(ev->log);
    ngx_add_timer(ev, kReportEvery);
}

RecordSink *find_sink(const RecordFile &file) noexcept {
    for (auto *sink = sinks; sink != nullptr; sink = sink->next) {
        if (file.name.len == ngx_strlen(sink->path) &&
            ngx::view(file.name) == sink->path && file.most == sink->most) {
            return sink;
        }
    }
    return nullptr;
}

RecordSink *make_sink(const RecordFile &file, ngx_log_t *log) noexcept {
    auto *path = static_cast<u_char *>(ngx_alloc(file.name.len + 1, log));
    auto *sink = path == nullptr ? nullptr : new (std::nothrow) RecordSink{};
    if (sink == nullptr) {
        ngx_free(path);
        return nullptr;
    }
    *ngx_cpymem(path, file.name.data, file.name.len) = '\0';
    sink->path = reinterpret_cast<const char *>(path);
    sink->most = file.most;
    int error = sink->file.open(sink->path);
    if (error != 0) {
        ngx_log_error(NGX_LOG_ALERT, log, error,
                      "keystile_record: \"%s\" cannot be opened by a worker: "
                      "nothing is recorded there",
                      sink->path);
    }
    sink->next = std::exchange(sinks, sink);
    return sink;
}

// Signals are for the main thread: a wait for events ends with them.
bool start_thread(ngx_log_t *log) noexcept {
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    if (sem_init(&wakeup, 0, 0) != 0) {
        return false;
    }
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(
        &thread, nullptr, [](void *data) noexcept { return run(data); },
        nullptr);
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) {
        ngx_log_error(NGX_LOG_ALERT, log, error,
                      "keystile_record: pthread_create() failed: nothing is "
                      "recorded");
    }
    return error == 0;
}

}  // namespace

RecordJob::RecordJob(RecordSink &to, std::size_t most) noexcept
    : sink{to}, record{budget, most} {
    record.head.most = most;
}

RecordJob *make_record_job(RecordFile &file, Zone *zone,
                           std::size_t most) noexcept {
    auto *job = is_running && file.sink != nullptr
                    ? new (std::nothrow) RecordJob{*file.sink, most}
                    : nullptr;
    if (job != nullptr) {
        job->tally = find_tally(zone);
    }
    return job;
}

void drop_record_job(RecordJob *job) noexcept { delete job; }

void submit_record_job(RecordJob *job) noexcept {
    if (queued.load(std::memory_order_relaxed) >= kMostQueued) {
        count(*job, RecordLoss::none, RecordLoss::sem_full, 0);
        delete job;
        return;
    }
    push(job);
}

void reopen_record_file(RecordFile &file) noexcept {
    auto *job = make_record_job(file, nullptr, 0);
    if (job != nullptr) {
        job->reopens = true;
        push(job);
    }
}

void start_record_writer(ngx_cycle_t *cycle, MainConf &conf) noexcept {
    bool serves =
        ngx_process == NGX_PROCESS_WORKER || ngx_process == NGX_PROCESS_SINGLE;
    if (!serves || conf.record_files.nelts == 0) {
        return;
    }
    for (auto *file : ngx::elements<RecordFile *>(&conf.record_files)) {
        file->sink = find_sink(*file);
        if (file->sink == nullptr) {
            file->sink = make_sink(*file, cycle->log);
        }
    }
    is_running = start_thread(cycle->log);
    no_connection.fd = static_cast<ngx_socket_t>(-1);
    report_event.handler = on_report;
    report_event.data = &no_connection;
    report_event.log = cycle->log;
    report_event.cancelable = 1;
    ngx_add_timer(&report_event, kReportEvery);
}

void stop_record_writer(ngx_cycle_t *cycle) noexcept {
    if (!std::exchange(is_running, false)) {
        return;
    }
    stopping.store(true, std::memory_order_release);
    sem_post(&wakeup);
    timespec until{};
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ngx_terminate ? kLongestDrainInHaste : kLongestDrain;
    if (pthread_timedjoin_np(thread, nullptr, &until) != 0) {
        ngx_log_error(NGX_LOG_ERR, cycle->log, 0,
                      "keystile_record: %uz turns were still to be written "
                      "when the worker had to end",
                      queued.load());
    }
    report_all(cycle->log);
}

// This cannot fail a reload: it comes so late in one that nginx would end. Where
// a worker cannot write, it says so.
void give_record_files(ngx_cycle_t *cycle, MainConf &conf) noexcept {
    auto *ccf = reinterpret_cast<ngx_core_conf_t *>(
        ngx_get_conf(cycle->conf_ctx, ngx_core_module));
    if (ngx_test_config || geteuid() != 0) {
        return;
    }
    for (auto *file : ngx::elements<RecordFile *>(&conf.record_files)) {
        if (file->fd == NGX_INVALID_FILE) {
            continue;  // of a process that only signals
        }
        struct stat status;
        bool is_theirs = fstat(file->fd, &status) == 0 &&
                         status.st_uid == static_cast<uid_t>(ccf->user);
        if (!is_theirs &&
            fchown(file->fd, ccf->user, static_cast<gid_t>(-1)) != 0) {
            ngx_log_error(NGX_LOG_ALERT, cycle->log, ngx_errno,
                          "keystile_record: fchown() of \"%V\" failed",
                          &file->name);
        }
    }
}

}  // namespace keystile
