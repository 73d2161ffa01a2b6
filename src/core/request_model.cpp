#include "request_model.hpp"

namespace keystile {

bool RequestModel::take(std::string_view piece) noexcept {
    return decoder_.take(piece, [this](std::string_view text) {
        reader_.take(text);
        return true;
    });
}

TurnRequest RequestModel::end() noexcept {
    bool is_whole = decoder_.is_complete();
    decoder_.close();
    if (is_whole) {
        return reader_.end_text();
    }
    TurnRequest request;
    request.naming = TurnRequest::Naming::unreadable;
    return request;
}

TurnRequest peek_model(std::string_view beginning) noexcept {
    TurnRequestReader reader;
    reader.take_to_model(beginning.substr(0, kPeek));
    TurnRequest request;
    if (reader.so_far().naming == TurnRequest::Naming::named) {
        request.naming = TurnRequest::Naming::named;
        request.model = reader.so_far().model;
    }
    return request;
}

}  // namespace keystile
