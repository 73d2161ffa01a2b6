// The thread of a worker that writes records: whatever the disk does, the
// event loop does not wait.

#pragma once

#include "ngx/nginx.hpp"

#include <atomic>

#include "core/line_file.hpp"
#include "core/record.hpp"

namespace keystile {

struct MainConf;
struct RecordFile;
struct Zone;

// A file as the process knows it. Never freed: the thread may still be using
// it when the process ends.
struct RecordSink {
    const char *path;
    std::uint64_t most;
    RecordSink *next;
    LineFile file;  // the thread's

    std::atomic<bool> was_lost{false};  // the last one
    std::array<std::atomic<std::uint64_t>, kRecordLosses> lost{};
    std::atomic<int> error{0};         // errno of the last loss
    std::atomic<int> reopen_error{0};  // 0 once it succeeds

    // What has been seen and said of them, by the main thread.
    std::array<std::uint64_t, kRecordLosses> lost_before{};
    std::uint64_t lost_in_all = 0;  // in this outage
    int said_reopen_error = 0;
    bool in_outage = false;
};

// What became of the turns of a zone, until that is added to it.
struct RecordTally {
    Zone *zone;
    RecordTally *next;
    std::array<std::atomic<std::uint64_t>, kRecordLosses> turns{};
};

// A record on its way, or a request to reopen the file.
struct RecordJob {
    RecordJob(RecordSink &to, std::size_t most) noexcept;

    RecordSink &sink;
    RecordTally *tally = nullptr;
    RecordJob *next = nullptr;
    bool reopens = false;
    Record record;
};

// Null when out of memory, or when the process has no writer for the file.
// What becomes of it is counted in the zone, if there is one.
RecordJob *make_record_job(RecordFile &file, Zone *zone,
                           std::size_t most) noexcept;

// Takes the job. It is dropped, and counted, where too many wait.
void submit_record_job(RecordJob *job) noexcept;

// Drops a job that was not submitted.
void drop_record_job(RecordJob *job) noexcept;

// The file has another inode now: what is submitted from here on goes there.
void reopen_record_file(RecordFile &file) noexcept;

// Of a worker: starts the thread if some file is to be written; and lets it
// finish, for a few seconds at most.
void start_record_writer(ngx_cycle_t *cycle, MainConf &conf) noexcept;
void stop_record_writer(ngx_cycle_t *cycle) noexcept;

// Of the master: gives the files to the user of its workers, if it can.
void give_record_files(ngx_cycle_t *cycle, MainConf &conf) noexcept;

}  // namespace keystile
