#include "socket_usage.hpp"

#include <utility>

namespace keystile {

std::optional<TurnRequest> SocketUsage::from_client(
    std::string_view &piece) noexcept {
    while (auto request = next_message(piece)) {
        if (request->creates && !request->binary) {
            ask(*request);
            return request;
        }
        ask_nothing();
    }
    return std::nullopt;
}

std::optional<TurnRequest> SocketUsage::next_message(
    std::string_view &piece) noexcept {
    std::array<char, kRoom> room;
    while (auto part = client_.next(piece, room)) {
        switch (part->kind) {
        case FramePart::Kind::text:
            request_.take(part->text);
            if (texts_ != nullptr) {
                texts_->client_text(part->text);
            }
            break;
        case FramePart::Kind::end_of_text:
            return request_.end_text();
        case FramePart::Kind::end_of_binary:
            return TurnRequest{.naming = TurnRequest::Naming::unreadable,
                               .creates = true,
                               .binary = true};
        case FramePart::Kind::close:
            break;
        }
    }
    return std::nullopt;
}

std::optional<Usage> SocketUsage::from_provider(
    std::string_view &piece) noexcept {
    std::array<char, kRoom> room;
    skip_unwanted(piece);
    if (piece.empty() && provider_.is_between_frames()) {
        return std::nullopt;
    }
    while (auto part = provider_.next(piece, room)) {
        if (part->kind == FramePart::Kind::text) {
            take_text(part->text);
        } else if (part->kind == FramePart::Kind::end_of_text && end_text()) {
            if (auto usage = answer()) {
                return usage;
            }
        }
        skip_unwanted(piece);
    }
    return std::nullopt;
}

void SocketUsage::take_text(std::string_view text) noexcept {
    scan_.take(text);
    if (texts_ != nullptr) {
        texts_->provider_text(text);
    }
}

bool SocketUsage::end_text() noexcept {
    bool is_answer = scan_.is_amid_answer();
    bool ends_answer = scan_.end_text();
    if (texts_ != nullptr) {
        texts_->provider_end(is_answer && !ends_answer);
    }
    return ends_answer;
}

// Most messages come whole, and their type says that there is nothing in
// them.
void SocketUsage::skip_unwanted(std::string_view &piece) noexcept {
    while (!piece.empty()) {
        auto text = provider_.whole_text(piece);
        if (text.empty() || !UsageScan::is_unwanted(text)) {
            return;
        }
        scan_.pass_over();
        if (texts_ != nullptr) {
            texts_->provider_text(text);
            texts_->provider_end(true);
        }
        auto end = text.data() + text.size() - piece.data();
        piece.remove_prefix(static_cast<std::size_t>(end));
    }
}

Usage SocketUsage::unfinished() const noexcept {
    auto usage = scan_.usage();
    usage.prewarm = (prewarms_ & 1) != 0;
    if (in_doubt_ && !is_amid_new_answer()) {
        add_doubted(usage);
    }
    return usage;
}

void SocketUsage::add_doubted(Usage &usage) const noexcept {
    usage.texts += doubted_.texts;
    if (usage.model.view().empty()) {
        usage.model = doubted_.model;
    }
}

void SocketUsage::ask(const TurnRequest &request) noexcept {
    if (texts_ != nullptr) {
        texts_->asked(request);
    }
    if (request.prewarm && waiting_ < 64) {
        prewarms_ |= std::uint64_t{1} << waiting_;
    }
    waiting_++;
}

bool SocketUsage::in_doubt() const noexcept {
    return is_amid_new_answer() ? waiting_ == 0 : in_doubt_;
}

std::optional<Usage> SocketUsage::take_lapsed() noexcept {
    auto lapsed = std::exchange(lapsed_, std::nullopt);
    if (!lapsed) {
        return std::nullopt;
    }
    Usage usage{};
    usage.texts = lapsed->texts;
    usage.model = lapsed->model;
    return usage;
}

bool SocketUsage::doubted_is_unasked() const noexcept {
    return is_amid_new_answer() ? excused_ == 0 : !was_asked_;
}

bool SocketUsage::is_amid_new_answer() const noexcept {
    auto next = scan_.answer_id();
    return next != 0 && next != answered_;
}

void SocketUsage::ask_nothing() noexcept {
    if (texts_ != nullptr) {
        texts_->not_asked();
    }
}

// None if it had ended before.
std::optional<Usage> SocketUsage::answer() noexcept {
    auto usage = scan_.usage();
    if (scan_.was_beside()) {
        scan_.forget_figures();
        usage.beside = usage.unasked = true;
        return usage;
    }
    auto id = scan_.answer_id();
    bool goes_on = in_doubt_ && !is_amid_new_answer();
    scan_.start_answer();
    if (goes_on) {
        doubted_.texts += usage.texts;
    }
    if (id != 0 && id == answered_) {
        return answer_again(usage);
    }
    usage.prewarm = (prewarms_ & 1) != 0;
    bool has_figures = usage.input || usage.output;
    bool had_begun = id != 0 || !usage.error;
    bool is_asked = waiting_ != 0 || (had_begun && excused_ != 0);
    usage.unasked = !is_asked;
    if (had_begun) {
        answered_ = id;
        had_figures_ = has_figures;
        was_asked_ = is_asked;
        lapsed_ = in_doubt_ ? std::optional{doubted_} : std::nullopt;
        in_doubt_ = id != 0 && usage.error && !usage.complete && !has_figures;
        if (in_doubt_) {
            doubted_ = {usage.texts, usage.model};
        }
    }
    if (waiting_ != 0) {
        prewarms_ >>= 1;
        waiting_--;
        // What comes of a prewarm is its own request.
        excused_ += had_begun || usage.prewarm ? 0 : 1;
    } else if (is_asked) {
        excused_--;
        usage.late = true;
    }
    return usage;
}

// Of an answer that an error has ended before. The error was an answer to
// something else, if this is its end: what it cost is yet to be counted.
std::optional<Usage> SocketUsage::answer_again(Usage usage) noexcept {
    bool has_figures = usage.input || usage.output;
    bool lacks_them = in_doubt_ && usage.complete && !usage.error;
    usage.late = true;
    if (had_figures_ || !(has_figures || lacks_them)) {
        in_doubt_ = in_doubt_ && !usage.complete;
        usage.input = usage.output = std::nullopt;
        return usage.is_refusal() ? std::optional{usage} : std::nullopt;
    }
    if (in_doubt_) {
        usage.texts = 0;  // they are among those
        add_doubted(usage);
    }
    in_doubt_ = false;
    had_figures_ = has_figures;
    usage.unasked = !was_asked_;
    return usage;
}

}  // namespace keystile
