// Any reply, and any two directions of a socket: how they are cut does not
// change what they cost.

#include "usage.hpp"

#include <string>

#include "check.hpp"
#include "pieces.hpp"
#include "socket_usage.hpp"

namespace keystile {
namespace {

std::string text_of_usage(const Usage &usage) {
    std::string text;
    for (const auto &count : {usage.input, usage.cached, usage.cache_written,
                              usage.output, usage.reasoning}) {
        text += count ? std::to_string(*count) : "-";
        text += ' ';
    }
    text += usage.model.view();
    text += usage.complete ? " complete" : "";
    text += usage.mixed ? " mixed" : "";
    text += usage.error ? " error" : "";
    text += usage.is_refusal() ? " refusal" : "";
    text += usage.beside ? " beside" : "";
    text += usage.prewarm ? " prewarm" : "";
    return text;
}

std::string read_reply(std::string_view body, std::size_t longest) {
    UsageReader reader;
    in_pieces(body, longest,
              [&reader](std::string_view piece) { reader.read(piece); });
    auto before = reader.usage();
    reader.end();
    auto after = reader.usage();
    check(!before.complete || after.complete, "what is complete stays so");
    check(before.input == after.input && before.output == after.output,
          "an end has no figures");
    return text_of_usage(before) + "\n" + text_of_usage(after);
}

std::string read_socket(std::string_view client, std::string_view provider,
                        std::size_t longest) {
    SocketUsage socket;
    std::string text;
    in_pieces(client, longest, [&](std::string_view piece) {
        while (auto request = socket.from_client(piece)) {
            check(request->creates, "only what creates is told");
            bool is_named = request->naming == TurnRequest::Naming::named;
            check(is_named != request->model.view().empty(),
                  "a model is named or empty");
            text += std::string{request->model.view()} +
                    (request->prewarm ? " prewarm\n" : "\n");
        }
        check(piece.empty(), "all of a piece is read");
    });
    in_pieces(provider, longest, [&](std::string_view piece) {
        while (auto usage = socket.from_provider(piece)) {
            text += text_of_usage(*usage) + "\n";
        }
        check(piece.empty(), "all of a piece is read");
    });
    return text + std::to_string(socket.waiting()) + "\n" +
           text_of_usage(socket.unfinished());
}

}  // namespace
}  // namespace keystile

// A zero byte and a line end are between the two directions of a socket.
int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    using namespace std::string_view_literals;

    auto text = text_of(bytes, size);
    auto at = std::min(text.find("\0\n"sv), text.size());
    auto client = text.substr(0, at);
    auto provider = text.substr(std::min(at + 2, text.size()));
    auto reply = keystile::read_reply(text, size + 1);
    auto turns = keystile::read_socket(client, provider, size + 1);
    for (std::size_t longest : {1U, 2U, 7U, 50U}) {
        check(keystile::read_reply(text, longest) == reply,
              "cuts of a reply do not matter");
        check(keystile::read_socket(client, provider, longest) == turns,
              "cuts of a socket do not matter");
    }
    return 0;
}
