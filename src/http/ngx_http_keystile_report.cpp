#include "ngx_http_keystile_report.hpp"

#include <algorithm>

#include "core/limit_period.hpp"
#include "core/meter_sums.hpp"
#include "core/version.hpp"
#include "ngx_http_keystile_conf.hpp"

namespace keystile {
namespace {

bool report_models(ngx_pool_t *pool, const ClientRecord &record,
                   ClientReport &report) noexcept {
    std::size_t count = 0;
    for_each_model(record, [&count](auto, const auto &) { count++; });
    if (count == 0) {
        return true;
    }
    // Another may have been added since.
    auto models = ngx::make_array<ModelReport>(pool, count);
    std::size_t size = 0;
    for_each_model(record, [&](std::string_view model, const Totals &totals) {
        if (size < models.size()) {
            models[size++] = {model, totals};
        }
    });
    report.models = models;
    return !models.empty();
}

// [locked]
LimitReport report_limit(const ClientRecord &record,
                         const Limit &limit) noexcept {
    LimitReport report{.limit = limit,
                       .used = 0,
                       .reserved = 0,
                       .resets_at = limit.per == LimitPeriod::none
                                        ? 0
                                        : period_end(limit.per, ngx_time())};
    for (auto *state = record.limits; state != nullptr; state = state->next) {
        if (state->kind == limit.kind && state->per == limit.per &&
            state->model.view() == limit.model) {
            report.used = state->used_at(ngx_time());
            report.reserved = state->reserved;
        }
    }
    return report;
}

bool report_limits(ngx_pool_t *pool, const Zone &zone,
                   const ClientRecord &record, const Client &client,
                   ClientReport &report) noexcept {
    if (client.limits.empty()) {
        return true;
    }
    auto limits = ngx::make_array<LimitReport>(pool, client.limits.size());
    ZoneLock lock{zone};
    for (std::size_t i = 0; i < limits.size(); i++) {
        limits[i] = report_limit(record, client.limits[i]);
    }
    report.limits = limits;
    return !limits.empty();
}

std::uint64_t requests_of(const ClientRecord &record) noexcept {
    std::uint64_t sum = 0;
    for (auto *series = record.series.load(std::memory_order_acquire);
         series != nullptr; series = series->next) {
        sum +=
            series->figures[static_cast<std::size_t>(Figure::requests)].get();
    }
    return sum;
}

struct Entry {
    const ClientRecord *record;
    std::uint64_t requests;
};

// All clients, those that are to be reported first.
std::span<Entry> rank_clients(ngx_pool_t *pool, const MeterZone &meter,
                              ReportedFirst first) noexcept {
    auto all = ngx::make_array<Entry>(pool, meter.client_count());
    std::size_t size = 0;
    for (const auto *record = meter.first_client();
         record != nullptr && size < all.size();
         record = record->next.load(std::memory_order_acquire)) {
        all[size++] = {record, requests_of(*record)};
    }
    all = all.first(size);
    if (first == ReportedFirst::busiest && all.size() > kMostReported) {
        std::nth_element(all.begin(), all.begin() + kMostReported, all.end(),
                         [](const Entry &a, const Entry &b) {
                             return a.requests > b.requests;
                         });
    }
    return all;
}

void sum_up(std::span<const Entry> entries, ZoneReport &report) noexcept {
    report.clients_left_out = entries.size();
    for (const auto &entry : entries) {
        for_each_model(*entry.record, [&](auto, const Totals &totals) {
            report.left_out += totals;
        });
        auto refusals = sum_refusals(*entry.record);
        for (std::size_t i = 0; i < refusals.size(); i++) {
            report.left_out_refusals[i] += refusals[i];
        }
        report.left_out_open += count_open(*entry.record);
    }
}

CredentialReport report_credential(const Credential &credential) noexcept {
    const auto &state = *credential.state;
    CredentialReport report{
        .name = ngx::view(credential.name),
        .expires = credential.expires,
        .back_at = state.is_cooling(ngx_time())
                       ? state.back_at.load(std::memory_order_relaxed)
                       : 0,
        .fault = state.fault.load(std::memory_order_relaxed),
        .sent = state.sent.load(std::memory_order_relaxed),
        .refusals = {},
    };
    for (std::size_t i = 0; i < kCredentialFaults; i++) {
        report.refusals[i] = state.refusals[i].load(std::memory_order_relaxed);
    }
    return report;
}

}  // namespace

std::span<const CredentialReport> report_credentials(
    ngx_pool_t *pool, const MainConf &conf) noexcept {
    auto all = ngx::elements<Credential *>(&conf.credentials);
    if (all.empty()) {
        return {};
    }
    auto reports = ngx::make_array<CredentialReport>(pool, all.size());
    for (std::size_t i = 0; i < reports.size(); i++) {
        reports[i] = report_credential(*all[i]);
    }
    return reports;
}

bool report_client(ngx_pool_t *pool, Zone &zone, const ClientRecord &record,
                   ClientReport &report) noexcept {
    report.set = record.set;
    report.id = record.id;
    report.refusals = sum_refusals(record);
    report.open = count_open(record);
    const auto *client = find_client(zone, record.set, record.id);
    return report_models(pool, record, report) &&
           (client == nullptr ||
            report_limits(pool, zone, record, *client, report));
}

bool report_zone(ngx_pool_t *pool, Zone &zone, ReportedFirst first,
                 ZoneReport &report) noexcept {
    auto &meter = *zone.meter;
    report.zone = ngx::view(zone.name);
    report.version = kVersion;
    report.now = ngx_time();
    report.counted_since = meter.counted_since();
    report.size = meter.size();
    report.free = meter.free();
    report.full = meter.full();
    report.processes = meter.processes();
    report.saved_at = meter.saved_at.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i < kRecordLosses; i++) {
        report.records[i] = meter.records[i].load(std::memory_order_relaxed);
    }
    report.save_failures = meter.save_failures.load(std::memory_order_relaxed);
    report.first_token = meter.first_token();
    report.duration = meter.duration();

    auto all = rank_clients(pool, meter, first);
    auto shown = all.first(std::min(all.size(), kMostReported));
    sum_up(all.subspan(shown.size()), report);
    if (shown.empty()) {
        return true;
    }
    auto clients = ngx::make_array<ClientReport>(pool, shown.size());
    for (std::size_t i = 0; i < clients.size(); i++) {
        if (!report_client(pool, zone, *shown[i].record, clients[i])) {
            return false;
        }
    }
    report.clients = clients;
    return !clients.empty();
}

void ReplyText::put(std::string_view text) noexcept {
    while (!text.empty() && !failed_) {
        auto *b = last_ == nullptr ? nullptr : last_->buf;
        if (b == nullptr || b->last == b->end) {
            failed_ = !grow();
            continue;
        }
        auto room = static_cast<std::size_t>(b->end - b->last);
        auto part = text.substr(0, room);
        b->last = ngx_cpymem(b->last, part.data(), part.size());
        size_ += static_cast<off_t>(part.size());
        text.remove_prefix(part.size());
    }
}

bool ReplyText::grow() noexcept {
    auto *link = ngx_alloc_chain_link(pool_);
    auto *b = ngx_create_temp_buf(pool_, kBufferSize);
    if (link == nullptr || b == nullptr) {
        return false;
    }
    link->buf = b;
    link->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = link;
    last_ = link;
    return true;
}

ngx_int_t ReplyText::send(ngx_http_request_t *r, std::string_view type,
                          ngx_uint_t status) noexcept {
    if (failed_ || last_ == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    r->headers_out.status = status;
    r->headers_out.content_length_n = size_;
    r->headers_out.content_type = ngx::str(type);
    r->headers_out.content_type_len = type.size();
    r->headers_out.content_type_lowcase = nullptr;
    last_->buf->last_buf = r == r->main;
    last_->buf->last_in_chain = 1;

    ngx_int_t rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    return ngx_http_output_filter(r, first_);
}

ngx_int_t accept_read(ngx_http_request_t *r) noexcept {
    if (!(r->method & (NGX_HTTP_GET | NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }
    return ngx_http_discard_request_body(r);
}

}  // namespace keystile
