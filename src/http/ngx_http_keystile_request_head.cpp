#include "ngx_http_keystile_request_head.hpp"

#include <algorithm>

#include "core/ascii.hpp"
#include "core/upstream_target.hpp"
#include "ngx_http_keystile_exchange.hpp"

namespace keystile {
namespace {

constexpr std::string_view kCrlf = "\r\n";

// All that the head of a request is made of.
struct Head {
    ngx_http_request_t *r;
    Exchange &exchange;
    const Route &route;
    const Permit &permit;
    const RequestHeadPolicy &policy;
    UpstreamTarget target;
    std::span<const ngx_str_t> set_values;  // of route.set_headers
};

template <typename Put>
void put_line(std::string_view name, std::string_view value,
              Put put) noexcept {
    put(name);
    put(std::string_view{": "});
    put(value);
    put(kCrlf);
}

template <typename Put>
void put_client_headers(const Head &head, Put put) noexcept {
    const auto &policy = head.policy;
    auto connection = head.exchange.headers().connection_lines();
    bool must_read = head.exchange.reads_reply();
    bool must_judge = head.exchange.credential != nullptr;  // its refusals
    bool coded = false;
    ngx::for_each_header(head.r->headers_in.headers, [&](ngx_table_elt_t &h) {
        auto name = ngx::view(h.key);
        auto value = ngx::view(h.value);
        if (!forwards_request_header(name, value, policy) ||
            connection_names(connection, name)) {
            return true;
        }
        bool hides = (must_read || must_judge) &&
                     policy.special.may_hold(name) && hides_reply(name);
        bool is_coding = hides && same_header_name(name, "accept-encoding");
        coded = coded || is_coding;
        if (!is_coding && !(hides && must_read)) {
            put_line(name, value, put);
        }
        return true;
    });
    if (coded) {
        put_line("Accept-Encoding", "identity", put);
    }
}

template <typename Put>
void put_set_headers(const Head &head, Put put) noexcept {
    for (std::size_t i = 0; i < head.set_values.size(); i++) {
        auto value = ngx::view(head.set_values[i]);
        if (!value.empty()) {
            put_line(head.route.set_headers[i].name, value, put);
        }
    }
}

// Framing by the length that nginx has counted, also of a body that came
// chunked, unless it goes on as it comes.
template <typename Put>
void put_framing(const Head &head, Put put) noexcept {
    auto *r = head.r;
    if (head.permit.websocket()) {
        put(
            std::string_view{"Connection: upgrade\r\n"
                             "Upgrade: websocket\r\n"});
        return;
    }
    if (head.exchange.upload.chunked) {
        put(std::string_view{"Transfer-Encoding: chunked\r\n"});
        return;
    }
    bool has_body =
        r->headers_in.content_length_n > 0 ||
        (r->headers_in.content_length_n == 0 &&
         (r->headers_in.content_length != nullptr || r->headers_in.chunked));
    if (has_body) {
        u_char digits[NGX_OFF_T_LEN];
        auto *end = ngx_sprintf(digits, "%O", r->headers_in.content_length_n);
        put_line("Content-Length",
                 {reinterpret_cast<char *>(digits),
                  static_cast<std::size_t>(end - digits)},
                 put);
    }
}

bool overrides(const Head &head, std::string_view name) noexcept {
    for (auto one : head.route.head.overridden) {
        if (same_header_name(one, name)) {
            return true;
        }
    }
    return false;
}

// Everything but the request target and the subprotocols, which write
// themselves.
template <typename Put>
void put_headers(const Head &head, Put put) noexcept {
    if (!overrides(head, "host")) {
        put_line("Host", head.route.host, put);
    }
    auto id = head.exchange.request_id();
    if (!id.empty() && !overrides(head, "x-request-id")) {
        put_line("X-Request-Id", id, put);
    }
    put_client_headers(head, put);
    put_set_headers(head, put);
    put_framing(head, put);
}

constexpr std::string_view kVersion = " HTTP/1.1\r\n";
constexpr std::string_view kProtocols = "Sec-WebSocket-Protocol: ";

// Calls visit(protocols) for each Sec-WebSocket-Protocol line that is worth
// sending on.
template <typename Visit>
void for_each_protocols(const Head &head, Visit visit) noexcept {
    if (!head.permit.websocket()) {
        return;
    }
    ngx::for_each_header(head.r->headers_in.headers, [&](ngx_table_elt_t &h) {
        WebSocketProtocols protocols{ngx::view(h.value)};
        if (same_header_name(ngx::view(h.key), "sec-websocket-protocol") &&
            is_field_value(protocols.list) && protocols.size() != 0) {
            visit(protocols);
        }
        return true;
    });
}

constexpr std::size_t kLongestFraming = 96;  // and Accept-Encoding

std::size_t line_size(std::string_view name, std::string_view value) noexcept {
    return name.size() + 2 + value.size() + kCrlf.size();
}

// No less than write() writes: as if every header were forwarded, so that
// each is judged only once, when it is written.
std::size_t most_bytes(const Head &head) noexcept {
    std::size_t size = head.r->method_name.len + 1 + head.target.size() +
                       kVersion.size() + kLongestFraming;
    size += line_size("Host", head.route.host);
    size += line_size("X-Request-Id", head.exchange.request_id());
    ngx::for_each_header(head.r->headers_in.headers, [&](ngx_table_elt_t &h) {
        size += line_size(ngx::view(h.key), ngx::view(h.value));
        return true;
    });
    for (std::size_t i = 0; i < head.set_values.size(); i++) {
        size += line_size(head.route.set_headers[i].name,
                          ngx::view(head.set_values[i]));
    }
    for_each_protocols(head, [&size](const WebSocketProtocols &protocols) {
        size += line_size(kProtocols, {}) + protocols.size();
    });
    return size;
}

char *write(const Head &head, char *p) noexcept {
    auto put = [&p](std::string_view s) {
        p = std::copy(s.begin(), s.end(), p);
    };
    put(ngx::view(head.r->method_name));
    put(" ");
    p = head.target.write(p);
    put(kVersion);
    put_headers(head, put);
    for_each_protocols(head, [&](const WebSocketProtocols &protocols) {
        put(kProtocols);
        p = protocols.write(p);
        put(kCrlf);
    });
    return p;
}

// The values of keystile_set_header for this request. One that would end its
// own line, through a variable that the client fills, fails the request.
ngx_int_t evaluate(ngx_http_request_t *r, const Route &route,
                   std::span<const ngx_str_t> &result) noexcept {
    if (route.set_headers.empty()) {
        return NGX_OK;
    }
    auto values =
        ngx::make_array<ngx_str_t>(r->pool, route.set_headers.size());
    if (values.empty()) {
        return NGX_ERROR;
    }
    for (std::size_t i = 0; i < values.size(); i++) {
        auto *cv = const_cast<ngx_http_complex_value_t *>(
            &route.set_headers[i].value);
        if (ngx_http_complex_value(r, cv, &values[i]) != NGX_OK) {
            return NGX_ERROR;
        }
        if (!is_field_value(ngx::view(values[i]))) {
            auto name = ngx::str(route.set_headers[i].name);
            ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                          "the value of \"keystile_set_header %V\" holds a "
                          "control byte",
                          &name);
            return NGX_ERROR;
        }
    }
    result = values;
    return NGX_OK;
}

}  // namespace

ngx_buf_t *make_request_head(ngx_http_request_t *r, Exchange &exchange,
                             const Permit &permit) noexcept {
    const auto &route = *loc_conf(r)->route;
    Head head{
        .r = r,
        .exchange = exchange,
        .route = route,
        .permit = permit,
        .policy = exchange.lends_own ? route.own_head : route.head,
        .target = {.base = route.base,
                   .rule = &permit.rule(),
                   .target = permit.target()},
        .set_values = {},
    };
    if (evaluate(r, route, head.set_values) != NGX_OK) {
        return nullptr;
    }

    auto *b = ngx_create_temp_buf(r->pool, most_bytes(head));
    if (b != nullptr) {
        auto *end = write(head, reinterpret_cast<char *>(b->last));
        b->last = reinterpret_cast<u_char *>(end);
    }
    return b;
}

}  // namespace keystile
