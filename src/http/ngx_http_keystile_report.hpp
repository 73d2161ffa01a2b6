// What a zone has counted, gathered for those who show it, and the reply that
// shows it.

#pragma once

#include "ngx/nginx.hpp"

#include "core/meter_report.hpp"
#include "core/text_sink.hpp"
#include "ngx_http_keystile_zone.hpp"

namespace keystile {

// Clients that a report has room for. The others are summed up.
inline constexpr std::size_t kMostReported = 1000;

// Which of them. Who is among the oldest stays there, so that what is counted
// of it, and of the others together, never decreases.
enum class ReportedFirst : unsigned char {
    busiest,  // with the most requests
    oldest,   // in the zone
};

// The figures of one client; its limits are those of the configuration. False when
// out of memory, of the pool.
bool report_client(ngx_pool_t *pool, Zone &zone, const ClientRecord &record,
                   ClientReport &report) noexcept;

// All credentials, in the order of the configuration; none when out of memory.
std::span<const CredentialReport> report_credentials(
    ngx_pool_t *pool, const MainConf &conf) noexcept;

bool report_zone(ngx_pool_t *pool, Zone &zone, ReportedFirst first,
                 ZoneReport &report) noexcept;

// The body of a reply, as a chain of buffers in a pool.
class ReplyText final : public TextSink {
public:
    explicit ReplyText(ngx_pool_t *pool) noexcept : pool_{pool} {}

    void put(std::string_view text) noexcept override;

    // Sends it as the reply to r. An error when out of memory. Requires a GET
    // or HEAD request.
    ngx_int_t send(ngx_http_request_t *r, std::string_view type,
                   ngx_uint_t status = NGX_HTTP_OK) noexcept;

private:
    bool grow() noexcept;

    static constexpr std::size_t kBufferSize = 16384;
    ngx_pool_t *pool_;
    ngx_chain_t *first_ = nullptr;
    ngx_chain_t *last_ = nullptr;
    off_t size_ = 0;
    bool failed_ = false;
};

// What a handler that only shows begins with: NGX_OK for a GET or HEAD whose
// body, if any, is discarded; else what it is to return.
ngx_int_t accept_read(ngx_http_request_t *r) noexcept;

}  // namespace keystile
