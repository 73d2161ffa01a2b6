#include "client_file.hpp"

#include "client_reader.hpp"

namespace keystile {

Result<ClientKeys, ClientFileError> parse_client_file(
    std::string_view json_text, Allocator allocator) noexcept {
    JsonFileReader file{json_text, allocator};
    auto root = file.parse(kMaxClientFileSize / 1024 / 1024);
    if (!root) {
        return file.error();
    }
    return read_clients(root.get(), file);
}

}  // namespace keystile
