#include "ngx_http_keystile_errors.hpp"

#include "core/ascii.hpp"
#include "core/limit_text.hpp"
#include "core/rules.hpp"
#include "ngx_http_keystile_exchange.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

constinit ngx_http_output_header_filter_pt next_header_filter = nullptr;
constinit ngx_http_output_body_filter_pt next_body_filter = nullptr;

constexpr std::string_view kRetryAfter = "10";  // seconds
constexpr std::string_view kEventStream = "text/event-stream";

ngx_int_t give(ngx_http_request_t *r, std::string_view name,
               std::string_view lowcase, std::string_view value) noexcept {
    return ngx::add_header(r->headers_out.headers, name, lowcase, value) ==
                   nullptr
               ? NGX_ERROR
               : NGX_OK;
}

// A reply of the provider's: as it came, but for what nginx or something in
// front of it would do to hold a stream back.
ngx_int_t complete_relayed(ngx_http_request_t *r,
                           Exchange &exchange) noexcept {
#if (NGX_HTTP_GZIP)
    // Of a compressed reply, these would tell gunzip to unpack it.
    if (r->headers_out.content_encoding == nullptr) {
        r->gzip_tested = 1;
        r->gzip_ok = 0;
    }
#endif
    auto type = ngx::view(r->headers_out.content_type);
    if (equals_ignoring_case(type.substr(0, kEventStream.size()),
                             kEventStream) &&
        give(r, "X-Accel-Buffering", "x-accel-buffering", "no") != NGX_OK) {
        return NGX_ERROR;
    }
    if (exchange.attempt.has_request_id || exchange.request_id().empty()) {
        return NGX_OK;
    }
    return give(r, "x-request-id", "x-request-id", exchange.request_id());
}

// The refusal that this error page stands for, if it is one of ours.
const Refusal *refusal_of(ngx_http_request_t *r,
                          const Exchange &exchange) noexcept {
    const auto *decision = exchange.decision();
    if (decision == nullptr || decision->has_value()) {
        return nullptr;
    }
    const auto &refusal = decision->error();
    return describe(refusal.denial).status == r->headers_out.status ? &refusal
                                                                    : nullptr;
}

// What is added to the message: which limit is used up, or where a key was
// looked for. Empty when out of memory.
std::string_view more_of(ngx_http_request_t *r, const Refusal *refusal,
                         const Route &route) noexcept {
    if (refusal != nullptr && refusal->used_up) {
        LimitText text{*refusal->used_up};
        return ngx::view(ngx::copy(r->pool, text.view()));
    }
    if (refusal == nullptr || refusal->denial != Denial::missing_key) {
        return {};
    }
    return refusal->bearer_only ? " in Authorization header"
                                : route.key_header_words;
}

// When a budget begins anew; 0 where trying again before that is of use.
std::int64_t reset_time(const Refusal *refusal) noexcept {
    return refusal != nullptr &&
                   (refusal->denial == Denial::usage_limit_reached ||
                    refusal->denial == Denial::credentials_used_up)
               ? refusal->resets_at
               : 0;
}

// RFC 9110 10.2.1: the methods that the path does have.
ngx_int_t give_allow(ngx_http_request_t *r, const Route &route,
                     std::string_view pattern) noexcept {
    std::size_t size = 0;
    for (const auto &rule : route.policy.rules) {
        size += rule.methods.size() + 2;
    }
    auto *text = static_cast<char *>(ngx_pnalloc(r->pool, size));
    if (text == nullptr) {
        return NGX_ERROR;
    }

    auto *p = text;
    for (const auto &rule : route.policy.rules) {
        if (rule.path != pattern || rule.websocket) {
            continue;
        }
        for_each_element(rule.methods, ',', [&](std::string_view method) {
            std::string_view so_far{text, static_cast<std::size_t>(p - text)};
            if (!list_has_token(so_far, method)) {
                std::string_view comma = p == text ? "" : ", ";
                p = std::copy(comma.begin(), comma.end(), p);
                p = std::copy(method.begin(), method.end(), p);
            }
            return true;
        });
    }
    return give(r, "Allow", "allow",
                {text, static_cast<std::size_t>(p - text)});
}

ngx_int_t give_copy(ngx_http_request_t *r, std::string_view name,
                    std::string_view value) noexcept {
    auto copy = ngx::copy(r->pool, value);
    return copy.data == nullptr ? NGX_ERROR
                                : give(r, name, name, ngx::view(copy));
}

// "x-ratelimit-limit-requests: 60" and so on, as OpenAI names them.
ngx_int_t give_limit(ngx_http_request_t *r, std::string_view what,
                     std::string_view unit, std::string_view value) noexcept {
    constexpr std::string_view kPrefix = "x-ratelimit-";
    auto size = kPrefix.size() + what.size() + 1 + unit.size();
    auto *name = static_cast<char *>(ngx_pnalloc(r->pool, size));
    if (name == nullptr) {
        return NGX_ERROR;
    }
    auto *p = std::copy(kPrefix.begin(), kPrefix.end(), name);
    p = std::copy(what.begin(), what.end(), p);
    *p++ = '-';
    std::copy(unit.begin(), unit.end(), p);
    return give_copy(r, {name, size}, value);
}

// RFC 9110 10.2.3, and what is left of the limit: nothing, or what is smaller
// than what is open now.
ngx_int_t give_limit_headers(ngx_http_request_t *r,
                             const UsedUp &used_up) noexcept {
    const auto &limit = *used_up.limit;
    auto left = limit.most > used_up.used ? limit.most - used_up.used : 0;
    auto wait = seconds_to_wait(used_up, ngx_time());
    NumberText seconds{static_cast<std::uint64_t>(wait)};
    std::array<char, 32> reset;
    auto *end =
        std::copy(seconds.view().begin(), seconds.view().end(), reset.begin());
    *end++ = 's';

    auto unit = name_of(limit.kind);
    bool given =
        give_copy(r, "retry-after", seconds.view()) == NGX_OK &&
        give_limit(r, "limit", unit,
                   limit_number(limit.kind, limit.most).view()) == NGX_OK &&
        give_limit(r, "remaining", unit,
                   limit_number(limit.kind, left).view()) == NGX_OK &&
        give_limit(r, "reset", unit,
                   {reset.data(),
                    static_cast<std::size_t>(end - reset.begin())}) == NGX_OK;
    return given ? NGX_OK : NGX_ERROR;
}

ngx_int_t give_error_headers(ngx_http_request_t *r, Exchange &exchange,
                             const ErrorReply &reply,
                             const Refusal *refusal) noexcept {
    auto id = exchange.request_id();
    if (!id.empty() && give(r, "x-request-id", "x-request-id", id) != NGX_OK) {
        return NGX_ERROR;
    }
    if (!reply.retry_helps &&
        give(r, "x-should-retry", "x-should-retry", "false") != NGX_OK) {
        return NGX_ERROR;
    }
    if (reply.status == NGX_HTTP_UNAUTHORIZED &&
        give(r, "WWW-Authenticate", "www-authenticate", "Bearer") != NGX_OK) {
        return NGX_ERROR;
    }
    if (refusal != nullptr && refusal->used_up) {
        return give_limit_headers(r, *refusal->used_up);
    }
    if (refusal != nullptr && refusal->resets_at != 0) {
        auto wait = ngx_max(refusal->resets_at - ngx_time(), 1);
        NumberText seconds{static_cast<std::uint64_t>(wait)};
        return give_copy(r, "retry-after", seconds.view());
    }
    if (refusal != nullptr &&
        refusal->denial == Denial::metering_unavailable) {
        return give(r, "Retry-After", "retry-after", kRetryAfter);
    }
    if (refusal != nullptr && reply.status == NGX_HTTP_NOT_ALLOWED) {
        return give_allow(r, *loc_conf(r)->route, refusal->pattern);
    }
    return NGX_OK;
}

// Gives an error page our headers, and prepares the body that replaces its.
ngx_int_t make_json(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto &conf = *loc_conf(r);
    const auto *refusal = refusal_of(r, exchange);
    auto reply =
        refusal != nullptr
            ? describe(refusal->denial)
            : describe_status(static_cast<unsigned>(r->headers_out.status));
    ErrorBody body{.shape = exchange.error_shape(conf),
                   .reply = reply,
                   .more = more_of(r, refusal, *conf.route),
                   .request_id = exchange.request_id(),
                   .resets_at = reset_time(refusal)};

    auto size = body.size();
    auto *text = static_cast<char *>(ngx_pnalloc(r->pool, size));
    if (text == nullptr) {
        return NGX_ERROR;
    }
    body.write(text);
    exchange.error_text = ngx::str({text, size});
    exchange.error_text_sent = false;

    r->headers_out.content_type = "application/json"_ngx;
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = nullptr;
    r->headers_out.content_length_n = static_cast<off_t>(size);
    if (r->headers_out.content_length != nullptr) {
        r->headers_out.content_length->hash = 0;
        r->headers_out.content_length = nullptr;
    }
    return give_error_headers(r, exchange, reply, refusal);
}

bool is_error_page(ngx_http_request_t *r) noexcept {
    return r->err_status != 0 && r->headers_out.status >= NGX_HTTP_BAD_REQUEST;
}

ngx_int_t filter_header(ngx_http_request_t *r) noexcept {
    if (r != r->main || loc_conf(r)->route == nullptr) {
        return next_header_filter(r);
    }
    auto *exchange = Exchange::of(r);
    if (exchange == nullptr) {
        return NGX_ERROR;
    }
    if (r->headers_out.status == 0) {
        r->headers_out.status = r->err_status;  // as ngx_http_send_header()
    }

    ngx_int_t rc = NGX_OK;
    if (exchange->attempt.relaying) {
        rc = complete_relayed(r, *exchange);
    } else if (is_error_page(r)) {
        exchange->settle();  // there will be no other reply
        rc = make_json(r, *exchange);
    }
    return rc == NGX_OK ? next_header_filter(r) : NGX_ERROR;
}

ngx_int_t send_error_text(ngx_http_request_t *r, Exchange &exchange) noexcept {
    auto *b = static_cast<ngx_buf_t *>(ngx_calloc_buf(r->pool));
    if (b == nullptr) {
        return NGX_ERROR;
    }
    b->pos = exchange.error_text.data;
    b->last = b->pos + exchange.error_text.len;
    b->memory = 1;
    b->last_buf = 1;
    b->last_in_chain = 1;

    ngx_chain_t out{.buf = b, .next = nullptr};
    return next_body_filter(r, &out);
}

ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in) noexcept {
    if (r != r->main || loc_conf(r)->route == nullptr) {
        return next_body_filter(r, in);
    }
    auto *exchange = Exchange::find(r);
    if (exchange == nullptr || exchange->error_text.data == nullptr ||
        in == nullptr) {
        return next_body_filter(r, in);
    }

    // What nginx wrote is dropped; ours goes out in its stead, once.
    for (auto *cl = in; cl != nullptr; cl = cl->next) {
        cl->buf->pos = cl->buf->last;
    }
    if (exchange->error_text_sent) {
        return NGX_OK;
    }
    exchange->error_text_sent = true;
    return send_error_text(r, *exchange);
}

}  // namespace

ngx_int_t install_error_filters(ngx_conf_t *) noexcept {
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = filter_header;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = filter_body;
    return NGX_OK;
}

}  // namespace keystile
