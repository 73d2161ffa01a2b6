#include "ngx_http_keystile_provider_refusal.hpp"

#include <openssl/crypto.h>

#include "core/ascii.hpp"
#include "core/number_text.hpp"
#include "core/provider_refusal.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_response.hpp"
#include "ngx_http_keystile_traces.hpp"

namespace keystile {
namespace {

ngx_int_t give_header(ngx_http_request_t *r, std::string_view name,
                      std::string_view lowcase,
                      std::string_view value) noexcept {
    auto *h =
        ngx::add_header(r->upstream->headers_in.headers, name, lowcase, value);
    if (h == nullptr) {
        return NGX_ERROR;
    }
    if (lowcase == "content-type") {
        r->upstream->headers_in.content_type = h;
    }
    return NGX_OK;
}

// When another try may do better; nothing where none will.
ngx_int_t give_wait(ngx_http_request_t *r, Denial denial,
                    std::int64_t seconds) noexcept {
    if (denial == Denial::upstream_forbidden ||
        denial == Denial::upstream_bad_request) {
        return NGX_OK;
    }
    NumberText number{static_cast<std::uint64_t>(seconds)};
    auto text = ngx::copy(r->pool, number.view());
    return text.data == nullptr
               ? NGX_ERROR
               : give_header(r, "Retry-After", "retry-after", ngx::view(text));
}

// The copy of what the provider says of the key.
void forget_body(ngx_http_request_t *r, Exchange &exchange) noexcept {
    if (exchange.attempt.refusal_text != nullptr) {
        OPENSSL_cleanse(exchange.attempt.refusal_text,
                        r->upstream->conf->buffer_size);
    }
}

// Makes the provider's reply one of ours, in its own buffer: what is left of
// the head and the body is forgotten, and so is the connection.
ngx_int_t replace_reply(ngx_http_request_t *r, Exchange &exchange,
                        Denial denial, std::string_view more = {}) noexcept {
    auto *u = r->upstream;
    auto reply = describe(denial);
    auto wait = seconds_until_next(*loc_conf(r));
    ErrorBody body{.shape = exchange.error_shape(*loc_conf(r)),
                   .reply = reply,
                   .more = more,
                   .request_id = exchange.request_id(),
                   .resets_at = denial == Denial::credentials_used_up
                                    ? ngx_time() + wait
                                    : 0};
    if (body.size() >
        static_cast<std::size_t>(u->buffer.end - u->buffer.start)) {
        return NGX_ERROR;
    }

    forget_reply(u);
    forget_body(r, exchange);
    auto *start = reinterpret_cast<char *>(u->buffer.start);
    auto *end = body.write(start);
    u->buffer.pos = u->buffer.start;
    u->buffer.last = reinterpret_cast<u_char *>(end);

    u->headers_in = {};
    u->headers_in.status_n = reply.status;
    u->headers_in.content_length_n = end - start;
    u->headers_in.last_modified_time = -1;
    u->headers_in.connection_close = 1;
    u->peer.tries = 1;  // keystile_next_upstream is not for a reply of ours
    exchange.attempt.has_request_id = false;
    if (ngx_list_init(&u->headers_in.headers, r->pool, 4,
                      sizeof(ngx_table_elt_t)) != NGX_OK ||
        ngx_list_init(&u->headers_in.trailers, r->pool, 2,
                      sizeof(ngx_table_elt_t)) != NGX_OK ||
        give_header(r, "Content-Type", "content-type", "application/json") !=
            NGX_OK) {
        return NGX_ERROR;
    }
    if (!reply.retry_helps &&
        give_header(r, "x-should-retry", "x-should-retry", "false") !=
            NGX_OK) {
        return NGX_ERROR;
    }
    return give_wait(r, denial, wait) == NGX_OK ? pass_reply(r) : NGX_ERROR;
}

// The credential is not accepted.
ngx_int_t reject(ngx_http_request_t *r, Exchange &exchange,
                 CredentialFault fault) noexcept {
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "the provider does not accept credential \"%V\": it "
                  "answered %ui",
                  &exchange.credential->name,
                  r->upstream->headers_in.status_n);
    forget_body(r, exchange);
    if (go_on_with_next(r, exchange, fault)) {
        return NGX_OK;
    }
    return replace_reply(r, exchange, Denial::upstream_credential_rejected);
}

// A rate limit of the credential. The reply that says so is passed on, unless
// there are others, which will be back before it.
ngx_int_t judge_limited(ngx_http_request_t *r, Exchange &exchange) noexcept {
    if (go_on_with_next(r, exchange, CredentialFault::rate_limited)) {
        return NGX_OK;
    }
    auto outage = pool_outage(*loc_conf(r));
    return outage ? replace_reply(r, exchange, denial_of(*outage))
                  : pass_reply(r);
}

// The body of a 403, as far as it is there.
struct Body {
    std::string_view text;  // without its chunked framing
    bool complete;
    bool unreadable;  // will never be known to be complete
};

Body arrived_chunked(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *u = r->upstream;
    auto *&text = exchange.attempt.refusal_text;
    if (text == nullptr) {
        text =
            static_cast<u_char *>(ngx_pnalloc(r->pool, u->conf->buffer_size));
    }

    ngx_buf_t in = u->buffer;
    ngx_http_chunked_t chunked{};
    auto *p = text;
    ngx_int_t rc = text == nullptr ? NGX_ERROR : NGX_OK;
    while (rc == NGX_OK) {
        rc = ngx::parse_chunked(ngx_http_parse_chunked, r, &in, &chunked);
        if (rc == NGX_OK) {
            auto here =
                ngx_min(chunked.size, static_cast<off_t>(in.last - in.pos));
            p = ngx_cpymem(p, in.pos, static_cast<std::size_t>(here));
            in.pos += here;
            chunked.size -= here;
        }
    }
    return {ngx::view({static_cast<std::size_t>(p - text), text}),
            rc == NGX_DONE, rc == NGX_ERROR};
}

Body arrived(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *u = r->upstream;
    if (u->headers_in.chunked) {
        return arrived_chunked(r, exchange);
    }
    auto size = static_cast<std::size_t>(u->buffer.last - u->buffer.pos);
    bool counted = u->headers_in.content_length_n >= 0;
    return {
        ngx::view({size, u->buffer.pos}),
        counted && static_cast<off_t>(size) >= u->headers_in.content_length_n,
        !counted};
}

// The request is refused. What the provider says of it stays here: it may
// repeat parts of the key.
ngx_int_t forbid(ngx_http_request_t *r, Exchange &exchange,
                 std::string_view body) noexcept {
    constexpr std::string_view kBetween = ": ";
    auto name = name_of_error(body);
    auto error = ngx::str(name.view().empty() ? "-" : name.view());
    ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                  "the provider refused the request: it answered 403, \"%V\"",
                  &error);

    std::array<char, 64> more;
    auto *end = more.begin();
    if (!name.view().empty()) {
        end = std::copy(kBetween.begin(), kBetween.end(), end);
        end = std::copy(name.view().begin(), name.view().end(), end);
    }
    return replace_reply(
        r, exchange, Denial::upstream_forbidden,
        {more.data(), static_cast<std::size_t>(end - more.begin())});
}

// process_header while the body of a 403 arrives.
ngx_int_t judge_forbidden(ngx_http_request_t *r) noexcept {
    auto *u = r->upstream;
    auto &exchange = *Exchange::find(r);

    auto body = arrived(r, exchange);
    bool full = u->buffer.last == u->buffer.end;
    if (!body.complete && !body.unreadable && !full) {
        return NGX_AGAIN;
    }
    return says_credential_is_bad(body.text)
               ? reject(r, exchange, CredentialFault::forbidden)
               : forbid(r, exchange, body.text);
}

// The same of a 400, which passes unless it blames the credential, or might do
// so and cannot be read. An error of a key is said at once; nginx takes one that
// breaks off here for none at all.
ngx_int_t judge_bad_request(ngx_http_request_t *r) noexcept {
    constexpr std::size_t kEnough = 512;
    auto *u = r->upstream;
    auto &exchange = *Exchange::find(r);

    auto body = arrived(r, exchange);
    bool enough = body.complete || u->buffer.last == u->buffer.end ||
                  body.text.size() >= kEnough;
    if (error_says_credential_is_bad(body.text)) {
        return reject(r, exchange, CredentialFault::rejected);
    }
    if (enough) {
        return pass_reply(r);
    }
    return body.unreadable
               ? replace_reply(r, exchange, Denial::upstream_bad_request)
               : NGX_AGAIN;
}

bool is_compressed(ngx_http_request_t *r) noexcept {
    return !ngx::for_each_header(
        r->upstream->headers_in.headers, [](ngx_table_elt_t &h) {
            return !equals_ignoring_case(ngx::view(h.key),
                                         "content-encoding") ||
                   equals_ignoring_case(ngx::view(h.value), "identity");
        });
}

}  // namespace

ngx_int_t judge_reply(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *u = r->upstream;

    if (exchange.credential == nullptr) {
        return pass_reply(r);  // none, or the caller's own, to be mended there
    }
    if (u->headers_in.status_n == NGX_HTTP_UNAUTHORIZED) {
        return reject(r, exchange, CredentialFault::rejected);
    }
    if (u->headers_in.status_n == NGX_HTTP_TOO_MANY_REQUESTS) {
        return judge_limited(r, exchange);
    }
    if (u->headers_in.status_n == NGX_HTTP_BAD_REQUEST &&
        r->method != NGX_HTTP_HEAD) {
        if (is_compressed(r)) {
            return replace_reply(r, exchange, Denial::upstream_bad_request);
        }
        u->process_header = judge_bad_request;
        return judge_bad_request(r);
    }
    if (u->headers_in.status_n != NGX_HTTP_FORBIDDEN) {
        return pass_reply(r);
    }
    if (r->method == NGX_HTTP_HEAD || is_compressed(r)) {
        return forbid(r, exchange, {});
    }
    u->process_header = judge_forbidden;
    return judge_forbidden(r);
}

}  // namespace keystile
