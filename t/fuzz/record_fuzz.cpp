// Any request and any reply: their line is one JSON object in one line, holds
// no key, and does not depend on how they came in pieces.

#include <string>

#include "check.hpp"
#include "json_compact.hpp"
#include "pieces.hpp"
#include "record_line.hpp"

namespace keystile {
namespace {

constexpr std::size_t kMost = 2000;
constexpr std::string_view kKey = "sk-test-0123456789";

class NoText final : public TextSink {
public:
    void put(std::string_view) noexcept override {}
};

// What the first byte of the input decides.
void set_up(RecordHead &head, unsigned kind) {
    head.most = kMost;
    head.is_websocket = (kind & 1U) != 0;
    head.status = head.is_websocket ? 101 : 200;
    head.end = (kind & 2U) != 0 ? RecordEnd::client_left : RecordEnd::whole;
    head.method.set("POST");
    head.path.set((kind & 4U) != 0 ? "/v1beta/models/g:generateContent"
                                   : "/v1/responses");
    head.request_encoding.set((kind & 8U) != 0 ? "gzip" : "");
    head.response_encoding.set((kind & 16U) != 0 ? "zstd, gzip" : "");
    head.has_bodies = (kind & 32U) == 0;
    head.hide(kKey);
}

std::string line_of(unsigned kind, std::string_view request,
                    std::string_view response, std::size_t longest) {
    RecordBudget budget{1'000'000};
    Record record{budget, kMost};
    set_up(record.head, kind);
    in_pieces(request, longest, [&record](std::string_view piece) {
        record.request.append(piece);
    });
    in_pieces(response, longest, [&record](std::string_view piece) {
        record.response.append(piece);
    });
    HeapText line;
    RecordLoss loss{};
    check(write_record(record, line, loss), "there is memory");
    return std::string{line.view()};
}

}  // namespace
}  // namespace keystile

// A zero byte and a line end are between the request and its reply.
int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    using namespace keystile;
    using namespace std::string_view_literals;

    auto text = text_of(bytes, size);
    auto kind = text.empty() ? 0U : static_cast<unsigned char>(text[0]);
    text.remove_prefix(std::min<std::size_t>(1, text.size()));
    auto at = std::min(text.find("\0\n"sv), text.size());
    auto request = text.substr(0, at);
    auto response = text.substr(std::min(at + 2, text.size()));

    auto line = line_of(kind, request, response, size + 1);
    NoText nowhere;
    check(line.find('\n') == line.size() - 1, "it is one line");
    check(put_compact_json(line, nowhere), "it is JSON");
    check(line.find(kKey) == std::string::npos, "there is no key in it");
    for (std::size_t longest : {1U, 7U, 300U}) {
        check(line_of(kind, request, response, longest) == line,
              "pieces do not matter");
    }
    return 0;
}
