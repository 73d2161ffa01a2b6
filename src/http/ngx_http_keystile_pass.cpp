#include "ngx_http_keystile_pass.hpp"

#include "ngx_http_keystile_conf.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_limits.hpp"
#include "ngx_http_keystile_peer.hpp"
#include "ngx_http_keystile_record.hpp"
#include "ngx_http_keystile_reply_body.hpp"
#include "ngx_http_keystile_request.hpp"
#include "ngx_http_keystile_response.hpp"

namespace keystile {
namespace {

using namespace ngx::literals;

// The handler sends no reply itself: nginx makes an error page of the status,
// which error_page may replace and errors.cpp gives its JSON body.
ngx_int_t refuse(ngx_http_request_t *r, Denial denial) noexcept {
    auto status = static_cast<ngx_int_t>(describe(denial).status);
    if (denial == Denial::websocket_not_allowed) {
        r->keepalive = 0;  // Codex stalls on a connection that stays open
    }
    return status;
}

// A subrequest carries the target and the headers of its parent, but another
// URI: there is no telling what it would be admitted for.
ngx_int_t refuse_subrequest(ngx_http_request_t *r) noexcept {
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "keystile refused a subrequest for \"%V\": only a client's "
                  "own request can be admitted",
                  &r->uri);
    return NGX_HTTP_FORBIDDEN;
}

ngx_int_t set_up_upstream(ngx_http_request_t *r,
                          const Permit &permit) noexcept {
    if (ngx_http_upstream_create(r) != NGX_OK) {
        return NGX_ERROR;
    }
    auto &conf = *loc_conf(r);
    auto *u = r->upstream;

    u->conf = &conf.upstream;
    u->schema = conf.destination->tls ? "https://"_ngx : "http://"_ngx;
    ngx::use_tls(*u, conf.destination->tls);
    u->uri = ngx::str(permit.target().path);  // for messages
    u->output.tag = static_cast<ngx_buf_tag_t>(&ngx_http_keystile_module);
    u->output.output_filter = send_upstream;
    u->output.filter_ctx = r;

    if (conf.resolved != nullptr) {
        u->resolved =
            ngx::make<ngx_http_upstream_resolved_t>(r->pool, *conf.resolved);
        if (u->resolved == nullptr) {
            return NGX_ERROR;
        }
    }

    u->create_request = create_request;
    u->reinit_request = reinit_request;
    u->process_header = process_status_line;
    u->abort_request = abort_request;
    u->finalize_request = finalize_request;
    u->input_filter_init = init_body;
    u->input_filter = copy_body;
    u->input_filter_ctx = r;
    u->buffering = 0;
    r->state = 0;
    return NGX_OK;
}

// Reads the body's next part, or answers 408: nginx by itself would close the
// connection without a word.
void read_body(ngx_http_request_t *r) noexcept {
    auto &exchange = *Exchange::find(r);
    auto *c = r->connection;

    if (!c->read->timedout) {
        exchange.body_reader(r);
        return;
    }
    ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT,
                  "client timed out while sending its request body");
    c->read->timedout = 0;
    r->keepalive = 0;
    r->error_page = 1;  // none: it could send on what there is of the body
    r->read_event_handler = ngx_http_block_reading;
    ngx::skip_body(*r);
    ngx_http_finalize_request(
        r, ngx_http_special_response_handler(r, NGX_HTTP_REQUEST_TIME_OUT));
}

// Where a filter has given up the reply of an earlier location, that upstream
// is still open, and ngx_http_upstream_create() would end it: to be done before
// anything is ready for the next.
ngx_int_t end_earlier_upstream(ngx_http_request_t *r) noexcept {
    bool is_open = r->upstream != nullptr && r->upstream->cleanup != nullptr;
    return is_open ? ngx_http_upstream_create(r) : NGX_OK;
}

}  // namespace

ngx_int_t handle_pass(ngx_http_request_t *r) noexcept {
    if (r != r->main) {
        return refuse_subrequest(r);
    }
    auto *exchange = Exchange::of(r);
    if (exchange == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    auto &conf = *loc_conf(r);
    const auto &decision = exchange->decide(*conf.route);
    if (!decision) {
        return refuse(r, decision.error().denial);
    }
    if (end_earlier_upstream(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    exchange->begin_anew();
    if (!check_socket_model(*exchange) || !check_limits(r, *exchange) ||
        !lend_credential(r, *exchange)) {
        return refuse(r, decision.error().denial);
    }
    // nginx leaves the flag with a body that it did not read whole.
    if (r->request_body != nullptr && r->request_body_no_buffering) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "a request body that was not buffered cannot be sent "
                      "again after a redirect");
        return NGX_HTTP_BAD_GATEWAY;
    }
    exchange->start_try();
    Recorder::begin(r, *exchange);
    if (set_up_upstream(r, *decision) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    bool buffered =
        conf.upstream.request_buffering || needs_body(r, *exchange);
    r->request_body_no_buffering = !buffered;
    ngx_int_t rc = ngx_http_read_client_request_body(r, check_body);
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        return rc;
    }
    if (rc == NGX_AGAIN && buffered) {
        exchange->body_reader = r->read_event_handler;
        r->read_event_handler = read_body;
    }
    return NGX_DONE;
}

}  // namespace keystile
