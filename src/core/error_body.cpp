#include "error_body.hpp"

#include <algorithm>
#include <array>
#include <charconv>

namespace keystile {
namespace {

template <typename Sink>
void put_escaped(std::string_view text, Sink put) noexcept {
    for (const char &c : text) {
        auto byte = static_cast<unsigned char>(c);
        if (c == '"') {
            put(std::string_view{"\\\""});
        } else if (c == '\\') {
            put(std::string_view{"\\\\"});
        } else if (byte < 0x20 || byte > 0x7E) {
            put(std::string_view{"?"});
        } else {
            put(std::string_view{&c, 1});
        }
    }
}

// What Codex tells its user when a budget is used up.
template <typename Sink>
void put_reset(const ErrorBody &body, Sink put) noexcept {
    if (body.resets_at <= 0) {
        return;
    }
    std::array<char, 20> digits;
    auto end = std::to_chars(digits.data(), digits.data() + digits.size(),
                             body.resets_at)
                   .ptr;
    put(std::string_view{",\"resets_at\":"});
    put(std::string_view{digits.data(),
                         static_cast<std::size_t>(end - digits.data())});
}

template <typename Sink>
void put_openai(const ErrorBody &body, Sink put) noexcept {
    put(std::string_view{"{\"error\":{\"message\":\""});
    put_escaped(body.reply.message, put);
    put_escaped(body.more, put);
    put(std::string_view{"\",\"type\":\""});
    put_escaped(body.reply.type, put);
    put(std::string_view{"\",\"param\":null,\"code\":\""});
    put_escaped(body.reply.code, put);
    put(std::string_view{"\""});
    put_reset(body, put);
    put(std::string_view{"}}"});
}

template <typename Sink>
void put_anthropic(const ErrorBody &body, Sink put) noexcept {
    put(std::string_view{"{\"type\":\"error\",\"error\":{\"type\":\""});
    put_escaped(body.reply.type, put);
    put(std::string_view{"\",\"message\":\""});
    put_escaped(body.reply.message, put);
    put_escaped(body.more, put);
    put(std::string_view{"\"}"});
    if (!body.request_id.empty()) {
        put(std::string_view{",\"request_id\":\""});
        put_escaped(body.request_id, put);
        put(std::string_view{"\""});
    }
    put(std::string_view{"}"});
}

template <typename Sink>
void put_body(const ErrorBody &body, Sink put) noexcept {
    if (body.shape == ErrorShape::anthropic) {
        put_anthropic(body, put);
    } else {
        put_openai(body, put);
    }
}

}  // namespace

std::size_t ErrorBody::size() const noexcept {
    std::size_t size = 0;
    put_body(*this, [&size](std::string_view s) { size += s.size(); });
    return size;
}

char *ErrorBody::write(char *out) const noexcept {
    put_body(*this, [&out](std::string_view s) {
        out = std::copy(s.begin(), s.end(), out);
    });
    return out;
}

}  // namespace keystile
