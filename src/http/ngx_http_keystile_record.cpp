#include "ngx_http_keystile_record.hpp"

#include "core/ascii.hpp"
#include "core/key_header.hpp"
#include "core/own_credential.hpp"
#include "ngx_http_keystile_body_pieces.hpp"
#include "ngx_http_keystile_exchange.hpp"
#include "ngx_http_keystile_meter.hpp"

namespace keystile {
namespace {

// The value of the first header that has one of the names.
std::string_view find_header(
    ngx_list_t &headers,
    std::initializer_list<std::string_view> names) noexcept {
    std::string_view found;
    for (auto name : names) {
        ngx::for_each_header(headers, [&](ngx_table_elt_t &h) {
            bool is_it = same_header_name(ngx::view(h.key), name);
            found = is_it ? ngx::view(h.value) : found;
            return !is_it;
        });
        if (!found.empty()) {
            break;
        }
    }
    return found;
}

template <std::size_t Room>
void copy_encoding(ngx_list_t &headers, RecordText<Room> &to) noexcept {
    ngx::for_each_header(headers, [&to](ngx_table_elt_t &h) {
        if (same_header_name(ngx::view(h.key), "content-encoding")) {
            to.add(ngx::view(h.value));
        }
        return true;
    });
}

}  // namespace

void Recorder::begin(ngx_http_request_t *r, Exchange &exchange) noexcept {
    const auto *conf = loc_conf(r)->record;
    if (exchange.recorder != nullptr) {
        exchange.recorder->end(NGX_ERROR);
        exchange.recorder = nullptr;
    }
    const auto &permit = **exchange.decision();
    if (conf == nullptr ||
        (r->method != NGX_HTTP_POST && !permit.websocket())) {
        return;
    }
    auto *job = make_record_job(*conf->file, loc_conf(r)->meter, conf->most);
    auto *recorder = job == nullptr
                         ? nullptr
                         : ngx::make<Recorder>(r->pool, r, exchange, *conf);
    if (recorder == nullptr) {
        drop_record_job(job);
        return;
    }
    recorder->job_ = job;
    recorder->describe_request(job->record.head);
    exchange.recorder = recorder;
    r->preserve_body = 1;  // nginx would close its file when the reply begins
}

void Recorder::set_time(RecordHead &head) noexcept {
    auto *tp = ngx_timeofday();
    head.seconds = tp->sec;
    head.milliseconds = static_cast<std::uint16_t>(tp->msec);
}

void Recorder::describe_request(RecordHead &head) const noexcept {
    const auto &permit = **exchange_.decision();
    set_time(head);
    head.has_bodies = conf_.bodies;
    head.is_websocket = permit.websocket();
    head.method.set(ngx::view(r_->method_name));
    auto path = ngx::view(r_->unparsed_uri);
    head.path.set(path.substr(0, path.find('?')));
    head.request_id.set(exchange_.request_id());
    const auto *client = permit.identity().client;
    if (client != nullptr) {
        head.client.set(client->id);
    }

    auto &headers = r_->headers_in.headers;
    head.session.set(find_header(headers, {"session-id"}));
    head.thread.set(find_header(
        headers, {"thread-id", "conversation-id", "x-claude-code-agent-id"}));
    copy_encoding(headers, head.request_encoding);

    if (exchange_.lends_own) {
        auto value = ngx::view(r_->headers_in.authorization->value);
        if (auto own = parse_authorization(value)) {
            head.hide(own->credentials);
        }
    }
    auto names = exchange_.headers().key_headers();
    for (std::size_t i = 0; i < names.size(); i++) {
        head.hide(read_key_header(names[i], exchange_.headers().presented(i)));
    }
}

void Recorder::describe_reply(RecordHead &head) const noexcept {
    // A head that could not be read to its end is no reply.
    bool answered = exchange_.attempt.relaying || is_socket_;
    head.status = answered ? exchange_.attempt.status.code : 0;
    if (exchange_.lends_own) {
        head.credential.set(kPassthrough);
    } else if (exchange_.credential != nullptr) {
        head.credential.set(ngx::view(exchange_.credential->name));
        head.hide(exchange_.credential->secret->value());
    }
    auto *u = r_->upstream;
    if (u != nullptr && u->headers_in.headers.last != nullptr) {
        auto &headers = u->headers_in.headers;
        head.upstream_request_id.set(
            find_header(headers, {"x-request-id", "request-id"}));
        copy_encoding(headers, head.response_encoding);
    }
}

void Recorder::upload(const ngx_chain_t *in) noexcept {
    if (job_ == nullptr || !r_->request_body_no_buffering) {
        return;
    }
    auto &bytes = job_->record.request;
    for (; in != nullptr; in = in->next) {
        const auto *b = in->buf;
        if (b == exchange_.upload.head_end) {
            head_passed_ = true;  // perhaps once more
            bytes.restart(conf_.most);
        } else if (head_passed_ && ngx_buf_in_memory(b)) {
            bytes.append(ngx::view(
                {static_cast<std::size_t>(b->last - b->pos), b->pos}));
        }
    }
}

void Recorder::reply(std::string_view piece) noexcept {
    if (job_ == nullptr || is_socket_ || piece.empty() ||
        exchange_.attempt.status.code != NGX_HTTP_OK) {
        return;
    }
    auto &head = job_->record.head;
    if (!head.first_token) {
        head.first_token = ngx_current_msec - began_;
    }
    job_->record.response.append(piece);
}

void Recorder::take_body(RecordBytes &bytes) const noexcept {
    if (r_->request_body_no_buffering) {
        return;
    }
    auto left = bytes.room();
    for_each_piece(r_, [&](std::string_view piece) {
        bytes.append(piece);
        left -= std::min(left, piece.size());
        return left != 0;
    });
    auto size = r_->headers_in.content_length_n;
    if (size > 0 && static_cast<std::uint64_t>(size) > bytes.seen()) {
        bytes.skip(static_cast<std::uint64_t>(size) - bytes.seen());
    }
}

RecordEnd Recorder::end_of(ngx_int_t rc) const noexcept {
    const auto *c = r_->connection;
    bool is_gone = c->error || c->read->eof || c->read->error;
    if (rc == NGX_OK && !is_socket_) {
        return RecordEnd::whole;
    }
    bool left = rc == NGX_HTTP_CLIENT_CLOSED_REQUEST || rc == NGX_DONE ||
                rc == NGX_HTTP_REQUEST_TIME_OUT;
    return left || is_gone ? RecordEnd::client_left : RecordEnd::provider_left;
}

void Recorder::time_job(RecordJob &job, ngx_msec_t began) const noexcept {
    job.record.head.duration = ngx_current_msec - began;
}

bool Recorder::knows_cost() const noexcept {
    return exchange_.meter != nullptr && main_conf(r_)->prices != nullptr;
}

void Recorder::submit(RecordJob *job) noexcept { submit_record_job(job); }

void Recorder::end(ngx_int_t rc) noexcept {
    if (job_ == nullptr) {
        return;
    }
    auto end = end_of(rc);
    // Nothing went up: we refused it, or its body did not come.
    bool went_up = r_->upstream != nullptr && r_->upstream->state != nullptr;
    auto *job = std::exchange(job_, nullptr);
    auto &head = job->record.head;
    if (head.is_websocket || !went_up) {
        end_waiting(end);
        drop_record_job(job);
        return;
    }
    describe_reply(head);
    take_body(job->record.request);
    head.end = end;
    time_job(*job, began_);
    const auto *meter = exchange_.meter;
    if (meter != nullptr && meter->reader != nullptr) {
        head.usage = meter->reader->usage();
        if (knows_cost()) {
            head.cost = meter->sum().totals[Figure::cost];
        }
    }
    submit(job);
}

}  // namespace keystile
