#include "record_line.hpp"

#include <array>
#include <span>

#include "ascii.hpp"
#include "event_stream.hpp"
#include "hidden_keys.hpp"
#include "json_compact.hpp"
#include "json_writer.hpp"
#include "number_text.hpp"
#include "record_body.hpp"
#include "record_request.hpp"
#include "reply_joiner.hpp"
#include "timestamp.hpp"
#include "usage.hpp"

namespace keystile {
namespace {

constexpr unsigned kOk = 200;
constexpr unsigned kSwitching = 101;

constexpr std::array<std::string_view, 5> kFormNames{
    "", "responses", "chat_completions", "messages", "gemini"};

// Shows each event of a streamed reply to the joiner. False where the text is
// no stream.
bool join(std::string_view text, ReplyJoiner &joiner) noexcept {
    HeapText data;
    EventStream stream;
    bool has_events = false;
    auto end_event = [&](bool is_done) {
        is_done ? joiner.take_done() : joiner.take(data.view());
        data.cut(0);
        has_events = true;
    };
    while (auto part = stream.next(text)) {
        if (part->kind == EventPart::Kind::data) {
            data.put(part->data);
        } else {
            end_event(part->kind == EventPart::Kind::done);
        }
    }
    // A client may leave before the blank line after the last event; what is
    // no event's end yet is one if it is whole.
    HeapText rest;
    if (data.size() != 0 && put_compact_json(data.view(), rest)) {
        end_event(false);
    }
    return has_events;
}

void join_messages_of_socket(std::string_view text,
                             ReplyJoiner &joiner) noexcept {
    while (!text.empty()) {
        text.remove_prefix(1);
        auto message = text.substr(0, text.find(kMessageMark));
        joiner.take(message);
        text.remove_prefix(message.size());
    }
}

// Of the line, while it is made.
class Line {
public:
    Line(const Record &record, HeapText &line) noexcept
        : record_{record},
          head_{record.head},
          line_{line},
          json_{line},
          keys_{std::span{head_.keys}.first(head_.key_count)} {}

    bool write(RecordLoss &loss) noexcept;

private:
    void read() noexcept;
    RecordLoss judge_status() const noexcept;
    void put_head() noexcept;
    void put_text_or_null(std::string_view name,
                          std::string_view text) noexcept;
    void put_foreign_text(std::string_view name,
                          std::string_view text) noexcept;
    void put_usage() noexcept;
    void put_seconds(std::string_view name,
                     std::optional<std::uint64_t> value) noexcept;
    void put_truncated() noexcept;
    void put_request() noexcept;
    void put_response() noexcept;
    void put_document() noexcept;
    void put_stream() noexcept;
    void put_text_of(RecordBody &body) noexcept;
    void note(RecordLoss loss) noexcept {
        loss_ = loss_ == RecordLoss::none ? loss : loss_;
    }

    const Record &record_;
    const RecordHead &head_;
    HeapText &line_;
    JsonWriter json_;
    RecordLoss loss_ = RecordLoss::none;
    bool bodies_ = true;
    RecordBody request_;
    RecordBody response_;
    RecordedRequest asked_;
    ReplyForm form_ = ReplyForm::unknown;
    Usage usage_;
    unsigned status_ = 0;
    HiddenKeys keys_;
};

RecordLoss Line::judge_status() const noexcept {
    if (status_ == 0) {
        return head_.end == RecordEnd::client_left
                   ? RecordLoss::client_disconnect
                   : RecordLoss::upstream_no_response;
    }
    if (status_ != (head_.is_websocket ? kSwitching : kOk)) {
        return RecordLoss::upstream_status;
    }
    return form_ == ReplyForm::unknown ? RecordLoss::non_turn_request
                                       : RecordLoss::none;
}

// All that is known of the turn before the first byte of the line.
void Line::read() noexcept {
    status_ = head_.status;
    form_ = form_of_path(head_.path.view());
    asked_ = read_request_path(head_.path.view());
    // Where a body is cut off, a part of a key may stand that is not found.
    request_.unpack(record_.request, head_.request_encoding.view(), head_.most,
                    keys_.longest());
    read_request(request_.text.view(), asked_);
    response_.unpack(record_.response, head_.response_encoding.view(),
                     head_.most, keys_.longest());

    UsageReader reader;
    if (head_.is_websocket) {
        ReplyJoiner joiner;
        join_messages_of_socket(response_.text.view(), joiner);
        status_ = joiner.error_status() != 0 ? joiner.error_status() : status_;
    } else {
        reader.read(response_.text.view());
        reader.end();
    }
    usage_ = head_.usage ? *head_.usage : reader.usage();
    if (head_.is_websocket && status_ == kSwitching && usage_.is_refusal()) {
        status_ = usage_.error_status == 403 ? 403 : 401;  // as it counts
    }
    note(judge_status());
    if (record_.request.is_over_budget() ||
        record_.response.is_over_budget()) {
        note(RecordLoss::request_over_budget);
    }
    bodies_ = loss_ == RecordLoss::none;
}

bool Line::write(RecordLoss &loss) noexcept {
    read();
    json_.begin_object();
    put_head();
    auto rest = line_.size();
    put_usage();
    put_seconds("ttft", head_.first_token);
    put_seconds("duration", head_.duration);
    json_.member("request_bytes", record_.request.seen());
    json_.member("response_bytes", record_.response.seen());
    put_truncated();
    if (bodies_) {
        put_request();
        put_response();
    }
    put_text_or_null("dropped", name_of(loss_));
    loss = loss_;

    keys_.hide_in_strings(line_.bytes().subspan(rest));
    json_.member("hidden_keys", keys_.count());
    json_.end_object();
    line_.put("\n");
    return !line_.has_failed() && !request_.text.has_failed() &&
           !response_.text.has_failed();
}

void Line::put_head() noexcept {
    // "2027-01-31T00:00:00Z", and milliseconds before the "Z".
    TimestampText seconds{head_.seconds};
    NumberText thousand{1000U + head_.milliseconds};
    std::array<char, 24> time{};
    auto date = seconds.view().substr(0, 19);
    auto *end = std::copy(date.begin(), date.end(), time.begin());
    *end++ = '.';
    end = std::copy_n(thousand.view().begin() + 1, 3, end);
    *end = 'Z';

    json_.member("time", {time.data(), time.size()});
    put_foreign_text("request_id", head_.request_id.view());
    put_foreign_text("upstream_request_id", head_.upstream_request_id.view());
    json_.member("transport", head_.is_websocket ? "websocket" : "http");
    put_foreign_text("method", head_.method.view());
    put_foreign_text("path", head_.path.view());
    put_text_or_null("client", head_.client.view());
    put_text_or_null("credential", head_.credential.view());
    put_text_or_null("api", kFormNames[static_cast<std::size_t>(form_)]);
    auto model = asked_.model.view();
    put_foreign_text("model", model.empty() ? usage_.model.view() : model);
    json_.name("stream");
    json_.raw();
    line_.put(asked_.streams || head_.is_websocket ? "true" : "false");
    json_.name("status");
    status_ == 0 ? json_.null() : json_.number(status_);
    auto session = head_.session.view();
    auto thread = head_.thread.view();
    put_foreign_text("session_id",
                     session.empty() ? asked_.session.view() : session);
    put_foreign_text("thread_id",
                     thread.empty() ? asked_.thread.view() : thread);
}

// Of a caller's or a provider's.
void Line::put_foreign_text(std::string_view name,
                            std::string_view text) noexcept {
    RecordText<1024> shown;
    shown.set(text);
    keys_.hide(shown.bytes());
    put_text_or_null(name, shown.view());
}

void Line::put_text_or_null(std::string_view name,
                            std::string_view text) noexcept {
    json_.member_or_null(name, text);
}

void Line::put_usage() noexcept {
    json_.name("usage");
    if (!usage_.input && !usage_.output) {
        json_.null();
    } else {
        auto put = [this](std::string_view name, auto count) {
            json_.name(name);
            count ? json_.number(*count) : json_.null();
        };
        json_.begin_object();
        put("input", usage_.input);
        put("cached", usage_.cached);
        put("cache_written", usage_.cache_written);
        put("output", usage_.output);
        put("reasoning", usage_.reasoning);
        json_.end_object();
    }
    json_.name("cost");
    head_.cost ? json_.decimal(*head_.cost, kPicodollarDecimals)
               : json_.null();
}

void Line::put_seconds(std::string_view name,
                       std::optional<std::uint64_t> value) noexcept {
    json_.name(name);
    value ? json_.decimal(*value, kMillisecondDecimals, kMillisecondDecimals)
          : json_.null();
}

void Line::put_truncated() noexcept {
    json_.name("truncated");
    json_.begin_array();
    if (bodies_ && head_.has_bodies) {
        if (request_.is_cut) {
            json_.string("request");
        }
        if (response_.is_cut) {
            json_.string("response");
        }
    }
    json_.end_array();
}

void Line::put_request() noexcept {
    auto text = request_.text.view();
    auto size = line_.size();
    json_.name("request");
    if (head_.has_bodies && !head_.has_request) {
        json_.null();
        return;
    }
    json_.raw();
    auto begin = line_.size();
    bool is_json = !request_.is_cut && put_compact_json(text, line_);
    if (!is_json) {
        line_.cut(begin);
        put_text_of(request_);
    }
    if (request_.is_broken || !(is_json || request_.is_cut)) {
        note(RecordLoss::request_decode);
    }
    if (!head_.has_bodies) {
        line_.cut(size);
    }
}

void Line::put_response() noexcept {
    auto size = line_.size();
    json_.name("response");
    json_.raw();
    if (response_.text.size() == 0) {
        note(head_.end == RecordEnd::client_left
                 ? RecordLoss::client_disconnect
                 : RecordLoss::empty_response);
        line_.put("null");
    } else if (response_.is_broken) {
        note(RecordLoss::response_decode);
        put_text_of(response_);
    } else {
        auto text = response_.text.view();
        auto first = text.find_first_not_of(" \t\r\n\xEF\xBB\xBF");
        bool is_document =
            first != std::string_view::npos &&
            (text[first] == '{' ||
             (text[first] == '[' && form_ != ReplyForm::gemini));
        is_document ? put_document() : put_stream();
    }
    if (!head_.has_bodies) {
        line_.cut(size);
    }
}

void Line::put_document() noexcept {
    auto begin = line_.size();
    if (put_compact_json(response_.text.view(), line_)) {
        return;
    }
    line_.cut(begin);
    put_text_of(response_);
    if (!response_.is_cut) {
        note(head_.end == RecordEnd::client_left
                 ? RecordLoss::client_disconnect
                 : RecordLoss::reducer_error);
    }
}

void Line::put_stream() noexcept {
    ReplyJoiner joiner;
    auto text = response_.text.view();
    bool is_stream = true;
    if (text.front() == kMessageMark) {
        join_messages_of_socket(text, joiner);
    } else if (form_ == ReplyForm::gemini && text.find("data:") != 0 &&
               text.find('[') == text.find_first_not_of(" \t\r\n")) {
        joiner.take(text);
    } else {
        is_stream = join(text, joiner);
    }

    bool ended = head_.end == RecordEnd::whole && !response_.is_cut;
    bool whole = joiner.is_whole(ended) && !joiner.has_failed();
    if (!whole && !response_.is_cut) {
        note(head_.end == RecordEnd::client_left
                 ? RecordLoss::client_disconnect
                 : RecordLoss::reducer_error);
    }
    auto begin = line_.size();
    if (!is_stream || !joiner.put(line_, !whole)) {
        line_.cut(begin);
        put_text_of(response_);
        note(RecordLoss::reducer_error);
    }
}

// Bytes that are no text become others, in which no key would be found.
void Line::put_text_of(RecordBody &body) noexcept {
    keys_.hide(body.text.bytes());
    put_as_text(body.text.view(), line_);
}

}  // namespace

bool write_record(const Record &record, HeapText &line,
                  RecordLoss &loss) noexcept {
    return Line{record, line}.write(loss);
}

void RecordHead::hide(std::string_view key) noexcept {
    constexpr std::size_t kLeast = 16;  // what is shorter is no secret
    if (key.size() >= kLeast && key_count < keys.size()) {
        keys[key_count++] = KeyPrint{key};
    }
}

}  // namespace keystile
