// Any stream of events: its events are those of the algorithm of the standard
// on the whole of it, however it is cut.

#include "event_stream.hpp"

#include <string>
#include <vector>

#include "check.hpp"
#include "pieces.hpp"

namespace keystile {
namespace {

using Events = std::vector<std::string>;

Events read_in_pieces(std::string_view text, std::size_t longest) {
    EventStream stream;
    Events events;
    std::string data;
    in_pieces(text, longest, [&](std::string_view piece) {
        while (auto part = stream.next(piece)) {
            if (part->kind == EventPart::Kind::data) {
                data += part->data;
                continue;
            }
            check((part->kind == EventPart::Kind::done) == (data == "[DONE]"),
                  "[DONE] is told from other data");
            events.push_back(data);
            data.clear();
        }
        check(piece.empty(), "all of a piece is read");
    });
    return events;
}

// WHATWG HTML 9.2.6: lines, with the line ends made LF.
std::vector<std::string> lines_of(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) {
        text.remove_prefix(3);
    }
    std::vector<std::string> lines;
    std::string line;
    for (std::size_t at = 0; at < text.size(); at++) {
        if (text[at] != '\r' && text[at] != '\n') {
            line += text[at];
            continue;
        }
        at += text.substr(at).starts_with("\r\n") ? 1 : 0;
        lines.push_back(line);
        line.clear();
    }
    return lines;
}

Events read_by_the_standard(std::string_view text) {
    Events events;
    std::string data;
    for (const auto &line : lines_of(text)) {
        auto colon = std::min(line.find(':'), line.size());
        if (line.empty() && !data.empty()) {
            data.pop_back();
            events.push_back(data);
            data.clear();
        } else if (line.substr(0, colon) == "data") {
            auto value = line.substr(std::min(colon + 1, line.size()));
            data += value.substr(value.starts_with(' ') ? 1 : 0) + "\n";
        }
    }
    return events;
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    auto text = text_of(bytes, size);
    auto events = keystile::read_by_the_standard(text);
    for (std::size_t longest : {size + 1, std::size_t{1}, std::size_t{2},
                                std::size_t{7}, std::size_t{50}}) {
        check(keystile::read_in_pieces(text, longest) == events,
              "the events are those of the standard");
    }
    return 0;
}
