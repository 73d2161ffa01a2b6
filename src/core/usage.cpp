#include "usage.hpp"

#include <algorithm>

namespace keystile {

void UsageReader::read(std::string_view piece) noexcept {
    if (form_ == Form::unknown) {
        read_form(piece);
    }
    if (form_ == Form::events) {
        read_events(piece);
    } else if (form_ == Form::document) {
        read_document(piece);
    }
}

// Removes what stands before the first byte that tells. A stream of events
// has no use for it either, but is shown it, as it is part of its first line.
void UsageReader::read_form(std::string_view &piece) noexcept {
    constexpr std::string_view blanks = " \t\r\n\xEF\xBB\xBF";

    auto before = piece.substr(0, piece.find_first_not_of(blanks));
    read_events(before);
    piece.remove_prefix(before.size());
    if (!piece.empty()) {
        bool is_document = piece.front() == '{' || piece.front() == '[';
        form_ = is_document ? Form::document : Form::events;
    }
}

void UsageReader::read_events(std::string_view piece) noexcept {
    skip_unwanted(piece);
    while (!piece.empty()) {
        auto part = stream_.next(piece);
        if (!part) {
            return;
        }
        if (part->kind == EventPart::Kind::data) {
            scan_.take(part->data);
        } else {
            scan_.end_text();
        }
        if (part->kind == EventPart::Kind::done) {
            scan_.set_complete();
        }
        skip_unwanted(piece);
    }
}

// Most events come whole, and their type says that there is nothing in them.
void UsageReader::skip_unwanted(std::string_view &piece) noexcept {
    while (!piece.empty() && stream_.is_between_events()) {
        auto event = find_whole_event(piece);
        if (!event || !UsageScan::is_unwanted(event->data)) {
            return;
        }
        scan_.pass_over();
        piece.remove_prefix(event->size);
    }
}

void UsageReader::read_document(std::string_view piece) noexcept {
    scan_.take(piece);
    if (scan_.is_whole() && !scan_.is_pending()) {
        scan_.set_complete();
    }
}

void UsageReader::end() noexcept {
    if (form_ == Form::events && scan_.repeats_figures()) {
        scan_.set_complete();
    }
}

}  // namespace keystile
