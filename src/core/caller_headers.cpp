#include "caller_headers.hpp"

#include <algorithm>

#include "ascii.hpp"
#include "key_header.hpp"

namespace keystile {

namespace {

constexpr bool is_request_id_char(char c) noexcept {
    return is_alpha(c) || is_digit(c) || c == '.' || c == '_' || c == '-';
}

}  // namespace

bool is_request_id(std::string_view id) noexcept {
    return !id.empty() && id.size() <= kLongestRequestId &&
           all<is_request_id_char>(id);
}

void CallerHeaders::see_key_header(std::size_t place,
                                   std::string_view value) noexcept {
    unsigned bit = 1U << place;
    doubled_ = doubled_ || (sent_ & bit) != 0;
    sent_ |= bit;
    presented_[place] = value;
}

void CallerHeaders::see_connection(std::string_view value) noexcept {
    auto names_before = connection_names_;
    connection_elements_ += 1 + static_cast<std::size_t>(std::count(
                                    value.begin(), value.end(), ','));
    for_each_element(value, ',', [this](std::string_view token) {
        if (equals_ignoring_case(token, "upgrade")) {
            connection_upgrade_ = true;
        } else if (!equals_ignoring_case(token, "keep-alive") &&
                   !equals_ignoring_case(token, "close")) {
            connection_names_++;
        }
        return true;
    });
    if (connection_names_ == names_before) {
        return;
    }
    if (connection_line_count_ == connection_lines_.size()) {
        too_many_connection_lines_ = true;
        return;
    }
    connection_lines_[connection_line_count_++] = value;
}

void CallerHeaders::see(std::string_view name,
                        std::string_view value) noexcept {
    bool credential = is_credential_header(name);

    // An exact name authenticates; a name that only reads the same to a
    // careless server ("x_api_key") is dropped and counts as foreign.
    for (std::size_t i = 0; i < key_headers_.size(); i++) {
        if (equals_ignoring_case(name, key_headers_[i])) {
            see_key_header(i, value);
        }
        credential = credential || same_header_name(name, key_headers_[i]);
    }
    if (credential) {
        credentials_ += !trim(value).empty();
        return;
    }

    switch (name.size()) {
    case 7:
        if (equals_ignoring_case(name, "upgrade")) {
            upgrade_websocket_ =
                upgrade_websocket_ || list_has_token(value, "websocket");
        }
        break;
    case 10:
        if (equals_ignoring_case(name, "connection")) {
            see_connection(value);
        }
        break;
    case 12:
        if (request_id_.empty() &&
            equals_ignoring_case(name, "x-request-id") &&
            is_request_id(value)) {
            request_id_ = value;
        }
        break;
    case 17:
        anthropic_ =
            anthropic_ || equals_ignoring_case(name, "anthropic-version");
        break;
    default:
        break;
    }
}

}  // namespace keystile
