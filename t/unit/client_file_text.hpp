// Client-key files, written for tests.

#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "arena.hpp"
#include "client_file.hpp"

namespace keystile {

// The digests of "key-0", "key-1", ... as the file writes them.
inline std::string hash(const std::string &key) {
    static auto sha256 = Sha256::create();
    Sha256Digest digest{};
    EXPECT_TRUE(sha256->digest(key, digest));
    std::string text = "sha256:";
    for (auto byte : digest) {
        char pair[3];
        std::snprintf(pair, sizeof(pair), "%02x", byte);
        text += pair;
    }
    return text;
}

inline std::string file(const std::string &clients) {
    return "{\"version\": 1, \"clients\": [" + clients + "]}";
}

// A client with one key, and more members.
inline std::string client(const std::string &id,
                          const std::string &more = "") {
    return "{\"id\": \"" + id + "\", \"keys\": [\"" + hash(id) + "\"]" + more +
           "}";
}

// "line:column message", or "accepted".
inline std::string error_of(const std::string &text) {
    Arena arena;
    auto keys = parse_client_file(text, arena.allocator());
    EXPECT_LE(arena.used, 64 * text.size()) << text;
    if (keys) {
        return "accepted";
    }
    const auto &error = keys.error();
    return std::to_string(error.line) + ":" + std::to_string(error.column) +
           " " + error.message;
}

// The limits of a client that has these.
inline std::string with_limits(const std::string &limits) {
    return file(client("a", ",\n\"limits\": [" + limits + "]"));
}

}  // namespace keystile
