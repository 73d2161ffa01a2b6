#include "ngx_http_keystile_response.hpp"

#include "core/ascii.hpp"
#include "core/request_head.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_meter.hpp"
#include "ngx_http_keystile_provider_refusal.hpp"
#include "ngx_http_keystile_record.hpp"
#include "ngx_http_keystile_reply_body.hpp"
#include "ngx_http_keystile_tunnel.hpp"

namespace keystile {
namespace {

constexpr unsigned kMostInterim = 100;

ngx_int_t invalid(ngx_http_request_t *r, const char *what) noexcept {
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "upstream sent %s",
                  what);
    return NGX_HTTP_UPSTREAM_INVALID_HEADER;
}

// The parsed line as a header of the reply, in one allocation.
ngx_table_elt_t *take_header(ngx_http_request_t *r) noexcept {
    auto *h = static_cast<ngx_table_elt_t *>(
        ngx_list_push(&r->upstream->headers_in.headers));
    if (h == nullptr) {
        return nullptr;
    }
    *h = {};

    auto name =
        static_cast<std::size_t>(r->header_name_end - r->header_name_start);
    auto value = static_cast<std::size_t>(r->header_end - r->header_start);
    auto *p = static_cast<u_char *>(
        ngx_pnalloc(r->pool, name + 1 + value + 1 + name));
    if (p == nullptr) {
        return nullptr;
    }

    h->hash = r->header_hash;
    h->key = {name, p};
    h->value = {value, p + name + 1};
    h->lowcase_key = p + name + 1 + value + 1;

    *ngx_cpymem(h->key.data, r->header_name_start, name) = '\0';
    *ngx_cpymem(h->value.data, r->header_start, value) = '\0';
    if (name == r->lowcase_index) {
        ngx_memcpy(h->lowcase_key, r->lowcase_header, name);
    } else {
        ngx_strlow(h->lowcase_key, h->key.data, name);
    }
    return h;
}

// RFC 9112 6.3: a reply of which it is not clear where it ends is no reply.
// nginx's own handlers take the last of several lengths, and any coding.
bool has_clear_framing(Exchange::Try &attempt,
                       const ngx_table_elt_t &h) noexcept {
    auto name = ngx::view(h.key);
    auto value = ngx::view(h.value);
    if (equals_ignoring_case(name, "content-length")) {
        bool repeated = std::exchange(attempt.has_length, true);
        return !repeated && !value.empty() && all<is_digit>(value);
    }
    if (equals_ignoring_case(name, "transfer-encoding")) {
        bool repeated = std::exchange(attempt.has_coding, true);
        return !repeated && equals_ignoring_case(value, "chunked");
    }
    return true;
}

// nginx's own handling of the header, where it has one.
ngx_int_t note_header(ngx_http_request_t *r, Exchange &exchange,
                      ngx_table_elt_t &h) noexcept {
    auto *umcf = static_cast<ngx_http_upstream_main_conf_t *>(
        ngx_http_get_module_main_conf(r, ngx_http_upstream_module));
    auto *known = static_cast<ngx_http_upstream_header_t *>(ngx_hash_find(
        &umcf->headers_in_hash, h.hash, h.lowcase_key, h.key.len));

    auto name = ngx::view(h.key);
    if (!has_clear_framing(exchange.attempt, h)) {
        return invalid(r,
                       "a \"Content-Length\" or \"Transfer-Encoding\" "
                       "that cannot be relied on");
    }
    if (!is_header_name(name) || !is_field_value(ngx::view(h.value))) {
        h.hash = 0;  // no HTTP, which nginx's parser lets through: not sent
        return NGX_OK;
    }
    if (equals_ignoring_case(name, "x-request-id")) {
        exchange.attempt.has_request_id = true;
    } else if (equals_ignoring_case(name, "upgrade") &&
               exchange.attempt.status.code != NGX_HTTP_SWITCHING_PROTOCOLS) {
        h.hash = 0;  // an offer, of that connection: copied, but not sent
    } else if (has_header_prefix(name, "x-accel-")) {
        h.hash = 0;  // an order to a proxy, which we don't take
        return NGX_OK;
    }
    return known == nullptr ? NGX_OK : known->handler(r, &h, known->offset);
}

// Headers that the reply's Connection names are of that connection. A header
// with no hash is copied, but not sent.
void drop_named_by_connection(ngx_list_t &headers) noexcept {
    ngx::for_each_header(headers, [&headers](ngx_table_elt_t &connection) {
        if (!equals_ignoring_case(ngx::view(connection.key), "connection")) {
            return true;
        }
        return ngx::for_each_header(headers, [&](ngx_table_elt_t &h) {
            if (connection_names(ngx::view(connection.value),
                                 ngx::view(h.key)) &&
                !equals_ignoring_case(ngx::view(h.key), "upgrade")) {
                h.hash = 0;
            }
            return true;
        });
    });
}

// Once all headers are there.
ngx_int_t end_head(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *u = r->upstream;

    if (u->headers_in.status_n == NGX_HTTP_SWITCHING_PROTOCOLS) {
        if (!(*exchange.decision())->websocket()) {
            return invalid(r, "101 to a request without Upgrade");
        }
    } else if (u->headers_in.chunked && u->headers_in.content_length_n >= 0) {
        return invalid(r,
                       "both \"Content-Length\" and "
                       "\"Transfer-Encoding\"");
    }
    if (u->headers_in.connection != nullptr) {
        drop_named_by_connection(u->headers_in.headers);
    }
    return judge_reply(r, exchange);
}

ngx_int_t process_headers(ngx_http_request_t *r) noexcept {
    auto &exchange = *Exchange::find(r);

    for (;;) {
        ngx_int_t rc = ngx_http_parse_header_line(r, &r->upstream->buffer, 1);
        if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
            return end_head(r, exchange);
        }
        if (rc == NGX_AGAIN) {
            return NGX_AGAIN;
        }
        if (rc != NGX_OK) {
            return invalid(r, "an invalid header");
        }

        auto *h = take_header(r);
        if (h == nullptr) {
            return NGX_ERROR;
        }
        rc = note_header(r, exchange, *h);
        if (rc != NGX_OK) {
            return rc;
        }
    }
}

// RFC 9112 4: three digits, of which nginx's parser takes "2 0 0" for three.
bool is_status(std::string_view line) noexcept {
    return line.size() >= 3 && all<is_digit>(line.substr(0, 3)) &&
           line.front() != '0';
}

// The status and its reason, to be passed on; nothing if that is no reason,
// as in "403.1 Forbidden". nginx then has words of its own.
std::string_view passable(std::string_view line) noexcept {
    auto rest = line.substr(3);
    bool has_reason = rest.empty() || rest.front() == ' ';
    return has_reason && is_field_value(rest) ? line : line.substr(0, 0);
}

// 1xx other than 101 says that the reply proper is yet to come.
ngx_int_t skip_informational(ngx_http_request_t *r) noexcept {
    for (;;) {
        ngx_int_t rc = ngx_http_parse_header_line(r, &r->upstream->buffer, 1);
        if (rc == NGX_HTTP_PARSE_HEADER_DONE) {
            Exchange::find(r)->attempt.status = {};
            r->state = 0;
            r->upstream->process_header = process_status_line;
            return process_status_line(r);
        }
        if (rc != NGX_OK) {
            return rc == NGX_AGAIN ? NGX_AGAIN
                                   : invalid(r, "an invalid header");
        }
    }
}

// What a model has been asked by POST, and has answered, is worth reading:
// other replies repeat what was charged for before. A 400 may be about the
// answer (Groq).
ngx_int_t read_usage(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto status = r->upstream->headers_in.status_n;
    bool is_answer =
        status >= NGX_HTTP_OK && status < NGX_HTTP_SPECIAL_RESPONSE;
    if (exchange.meter == nullptr || r->method != NGX_HTTP_POST ||
        !(is_answer || status == NGX_HTTP_BAD_REQUEST)) {
        return NGX_OK;
    }
    auto *reader = ngx::make<UsageReader>(r->pool);
    (is_answer ? exchange.meter->reader : exchange.meter->error_reader) =
        reader;
    return reader == nullptr ? NGX_ERROR : NGX_OK;
}

// NGX_DONE: nginx ends the request itself, as worker_shutdown_timeout says.
void note_end(ngx_http_request_t *r, Exchange &exchange,
              ngx_int_t rc) noexcept {
    if (exchange.recorder != nullptr) {
        exchange.recorder->end(rc);
    }
    if (exchange.tunnel != nullptr) {
        exchange.tunnel->close();
    }
    bool is_cut_off =
        rc == NGX_HTTP_CLIENT_CLOSED_REQUEST ||
        rc == NGX_HTTP_GATEWAY_TIME_OUT ||
        (rc == NGX_DONE && r->upstream->peer.connection != nullptr);
    if (is_cut_off && !exchange.attempt.is_error()) {
        exchange.may_be_charged = true;
    }
    if (rc == NGX_OK && exchange.meter != nullptr &&
        exchange.meter->reader != nullptr) {
        exchange.meter->reader->end();
    }
}

}  // namespace

ngx_int_t process_status_line(ngx_http_request_t *r) noexcept {
    auto *u = r->upstream;
    auto &status = Exchange::find(r)->attempt.status;
    u->peer.cached = 0;  // it has answered: from here on, it is not stale

    ngx_int_t rc = ngx_http_parse_status_line(r, &u->buffer, &status);
    if (rc == NGX_AGAIN) {
        return NGX_AGAIN;
    }
    auto line = rc == NGX_OK
                    ? std::string_view{reinterpret_cast<char *>(status.start),
                                       static_cast<std::size_t>(status.end -
                                                                status.start)}
                    : std::string_view{};
    if (!is_status(line)) {
        return invalid(r, "no valid HTTP/1.x status line");
    }
    if (status.code < 200 && status.code != NGX_HTTP_SWITCHING_PROTOCOLS) {
        if (++Exchange::find(r)->attempt.interim_replies > kMostInterim) {
            return invalid(r, "too many interim replies");
        }
        u->process_header = skip_informational;
        return skip_informational(r);
    }

    if (u->state != nullptr && u->state->status == 0) {
        u->state->status = status.code;
    }
    u->headers_in.status_n = status.code;
    u->headers_in.status_line = ngx::copy(r->pool, passable(line));
    if (u->headers_in.status_line.data == nullptr) {
        return NGX_ERROR;
    }
    u->headers_in.connection_close = status.http_version < NGX_HTTP_VERSION_11;

    u->process_header = process_headers;
    return process_headers(r);
}

ngx_int_t pass_reply(ngx_http_request_t *r) noexcept {
    auto *u = r->upstream;
    auto &exchange = *Exchange::find(r);

    if (has_no_body(r) ||
        (!u->headers_in.chunked && u->headers_in.content_length_n == 0)) {
        u->keepalive =
            !u->headers_in.connection_close && u->buffer.pos == u->buffer.last;
    }
    if (u->headers_in.status_n == NGX_HTTP_SWITCHING_PROTOCOLS) {
        u->keepalive = 0;
        u->upgrade = 1;
        u->conf = &loc_conf(r)->tunnel;
        if (exchange.reads_reply() && Tunnel::open(r, exchange) != NGX_OK) {
            return NGX_ERROR;
        }
        auto there = u->buffer.last - u->buffer.pos;
        u->buffer.last = u->buffer.pos;
        shrink_buffer(r, exchange, static_cast<std::size_t>(there));
        u->buffer.last += there;
    }
    exchange.attempt.relaying = true;
    return read_usage(r, exchange);
}

void abort_request(ngx_http_request_t *) noexcept {}

// Called before nginx makes an error page of a failure.
void finalize_request(ngx_http_request_t *r, ngx_int_t rc) noexcept {
    note_end(r, *Exchange::find(r), rc);
    if (r->upstream->header_sent) {
        Exchange::find(r)->settle();
        return;
    }
    Exchange::find(r)->attempt.relaying = false;  // it never came to that
    if (!r->request_body_no_buffering) {
        return;
    }
    r->error_page = 1;  // none: parts of the body are gone already
    if (rc == NGX_HTTP_REQUEST_TIME_OUT) {
        // The rest of the body did not come. nginx will close the connection
        // without a word, so the word is said here.
        r->keepalive = 0;
        ngx_http_special_response_handler(r, rc);
    }
}

}  // namespace keystile
