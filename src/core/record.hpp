// One turn of a model, as keystile_record keeps it until its line is written.

#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "key_print.hpp"
#include "limit.hpp"
#include "record_bytes.hpp"
#include "record_loss.hpp"
#include "usage_scan.hpp"

namespace keystile {

// A text of which as much is kept as there is room for.
template <std::size_t Room>
class RecordText {
public:
    void set(std::string_view text) noexcept {
        size_ = std::min(text.size(), Room);
        std::copy_n(text.begin(), size_, bytes_.begin());
    }

    // Another element of a list.
    void add(std::string_view text) noexcept {
        constexpr std::string_view kBetween = ", ";
        if (size_ == 0) {
            return set(text);
        }
        for (auto part : {kBetween, text}) {
            part = part.substr(0, Room - size_);
            std::copy(part.begin(), part.end(), bytes_.begin() + size_);
            size_ += part.size();
        }
    }

    std::string_view view() const noexcept { return {bytes_.data(), size_}; }
    std::span<char> bytes() noexcept { return {bytes_.data(), size_}; }

private:
    std::array<char, Room> bytes_;
    std::size_t size_ = 0;
};

enum class RecordEnd : std::uint8_t { whole, client_left, provider_left };

// What is known of a turn beside its bodies.
struct RecordHead {
    std::int64_t seconds = 0;  // since the epoch, when it began
    std::uint16_t milliseconds = 0;
    bool is_websocket = false;
    bool has_bodies = true;      // bodies=on
    bool has_request = true;     // not more of an answer that had a line
    unsigned status = 0;         // the provider's; 0: it sent none
    std::uint64_t duration = 0;  // in milliseconds
    std::optional<std::uint64_t> first_token;  // the same
    std::optional<Picodollars> cost;
    std::optional<Usage> usage;  // where it was read as it passed
    RecordEnd end = RecordEnd::whole;
    std::size_t most = 0;  // bytes of an unpacked body

    RecordText<16> method;
    RecordText<1024> path;
    RecordText<128> request_id;
    RecordText<128> upstream_request_id;
    RecordText<128> client;
    RecordText<128> credential;
    RecordText<128> session;
    RecordText<128> thread;
    RecordText<64> request_encoding;  // Content-Encoding
    RecordText<64> response_encoding;

    // Of keys that may not stand in the line; the credential is the last.
    std::array<KeyPrint, 10> keys;
    std::size_t key_count = 0;

    void hide(std::string_view key) noexcept;
};

struct Record {
    Record(RecordBudget &budget, std::size_t most) noexcept
        : request{budget, most}, response{budget, most} {}

    RecordHead head;
    RecordBytes request;
    // The body of an HTTP reply, or the provider's messages on a socket, each
    // after a kMessageMark.
    RecordBytes response;
};

// RFC 7464: a byte that stands in no JSON text.
inline constexpr char kMessageMark = '\x1E';

}  // namespace keystile
