#include "record_loss.hpp"

#include <array>

namespace keystile {

std::string_view name_of(RecordLoss loss) noexcept {
    constexpr std::array<std::string_view, kRecordLosses> kNames{
        "",
        "upstream_status",
        "non_turn_request",
        "request_decode",
        "empty_response",
        "response_decode",
        "reducer_error",
        "client_disconnect",
        "upstream_no_response",
        "request_over_budget",
        "sem_full",
        "disk_full",
        "file_full",
        "write_error"};
    return kNames[static_cast<std::size_t>(loss)];
}

}  // namespace keystile
