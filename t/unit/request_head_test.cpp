#include "request_head.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

#include "ascii.hpp"
#include "caller_headers.hpp"
#include "key_header.hpp"

namespace keystile {
namespace {

constexpr std::array<std::string_view, 3> kKeyHeaders{
    "authorization", "x-team-key", "x-provider-key"};
constexpr std::array<std::string_view, 1> kOverridden{"openai-beta"};
constexpr RequestHeadPolicy kPolicy{kKeyHeaders, kOverridden};

const RequestHeadPolicy kIndexed = [] {
    auto policy = kPolicy;
    policy.index();
    return policy;
}();

bool forwarded(std::string_view name, std::string_view value = "v") {
    bool is = forwards_request_header(name, value, kIndexed);
    EXPECT_EQ(is, forwards_request_header(name, value, kPolicy)) << name;
    return is;
}

// A name, and how a hostile client may write it.
std::vector<std::string> spellings(std::string name) {
    std::vector<std::string> all{name};
    for (auto &c : name) {
        c = static_cast<char>(std::toupper(c));
    }
    all.push_back(name);
    for (auto &c : name) {
        c = c == '-' ? '_' : c;
    }
    all.push_back(name);
    if (auto first = name.find('_'); first != std::string::npos) {
        name[first] = '-';
        all.push_back(name);
    }
    return all;
}

TEST(RequestHead, Dropped) {
    for (auto name : {
             // Credentials, built in and of this location.
             "authorization",
             "proxy-authorization",
             "x-api-key",
             "api-key",
             "x-goog-api-key",
             "openai-api-key",
             "x-team-key",
             "x-provider-key",
             "cookie",
             "openai-organization",
             "openai-project",
             // Of the connection (RFC 9110 7.6.1), and written by nginx.
             "host",
             "connection",
             "keep-alive",
             "proxy-connection",
             "te",
             "trailer",
             "transfer-encoding",
             "upgrade",
             "content-length",
             // Who and where the client is.
             "forwarded",
             "via",
             "x-forwarded-for",
             "x-forwarded-host",
             "x-forwarded-proto",
             "x-forwarded-anything",
             "x-real-ip",
             "origin",
             "referer",
             // Ours.
             "x-keystile-client",
             "x-keystile-x",
             "x-accel-redirect",
             "x-request-id",
             "openai-beta",
         }) {
        for (const auto &spelling : spellings(name)) {
            EXPECT_FALSE(forwarded(spelling)) << spelling;
        }
    }
}

TEST(RequestHead, Forwarded) {
    for (auto name : {"accept",
                      "content-type",
                      "content-encoding",
                      "user-agent",
                      "anthropic-version",
                      "anthropic-beta",
                      "session_id",
                      "session-id",
                      "x-codex-turn-state",
                      "x-codex-window-id",
                      "originator",
                      "version",
                      "chatgpt-account-id",
                      "x-stainless-lang",
                      "x-custom",
                      "conversation_id",
                      "sec-websocket-key",
                      "sec-websocket-version",
                      "x-forwarded",
                      "x-keystile",
                      "api-keys",
                      "idempotency-key",
                      "x-client-request-id",
                      "openai-organization-x"}) {
        EXPECT_TRUE(forwarded(name)) << name;
    }
}

TEST(RequestHead, BrokenLinesAreDropped) {
    for (auto name :
         {"", "a b", "a:", ":path", "a\r", "\xC3\xA9", "a(b)", "x-custom "}) {
        EXPECT_FALSE(forwarded(name)) << name;
    }
    for (const auto &value :
         {std::string{"a\r\nX: y"}, std::string{"a\nb"}, std::string{"a\r"},
          std::string("a\0b", 3), std::string{"\x01"}, std::string{"\x7F"}}) {
        EXPECT_FALSE(forwarded("x-custom", value)) << value;
    }
    for (auto value : {"", " ", "a\tb", "\xC3\xA9", "\"q\""}) {
        EXPECT_TRUE(forwarded("x-custom", value)) << value;
    }
}

// Each byte that may not be there, at each place of names and values of each
// length: long ones are looked at in another way than short ones.
TEST(RequestHead, BrokenBytes) {
    for (std::size_t size = 1; size <= 50; size++) {
        std::string good(size, 'a');
        EXPECT_TRUE(forwarded(good, good));
        for (std::size_t at = 0; at < size; at++) {
            for (int c = 0; c < 256; c++) {
                auto bad = good;
                bad[at] = static_cast<char>(c);
                bool is_control = c == 0x7F || (c < 0x20 && c != '\t');
                EXPECT_EQ(forwarded("b", bad), !is_control) << size << at << c;
                EXPECT_EQ(forwarded(bad), is_token(bad)) << size << at << c;
            }
        }
    }
}

// As bytes one by one are, whatever the length.
TEST(RequestHead, SameHeaderName) {
    for (std::size_t size = 1; size <= 20; size++) {
        for (int a = 0; a < 256; a++) {
            for (int b = 0; b < 256; b++) {
                std::string one(size, 'a');
                auto other = one;
                one[static_cast<std::size_t>(a * b) % size] =
                    static_cast<char>(a);
                other[static_cast<std::size_t>(a * b) % size] =
                    static_cast<char>(b);
                EXPECT_EQ(same_header_name(one, other),
                          lower_dashed(static_cast<char>(a)) ==
                              lower_dashed(static_cast<char>(b)))
                    << size << " " << a << " " << b;
            }
        }
    }
    EXPECT_TRUE(same_header_name("", ""));
    EXPECT_FALSE(same_header_name("a", "aa"));
}

// What is looked for among the headers of a request is special; most others
// are not.
TEST(RequestHead, Special) {
    std::vector<std::string> names{"X-TEAM-KEY",
                                   "x-provider-key",
                                   "openai-beta",
                                   "accept-encoding",
                                   "sec-websocket-extensions",
                                   "x-forwarded-anything-at-all",
                                   "x-accel-" + std::string(100, 'x')};
    names.insert(names.end(), kCredentialHeaders.begin(),
                 kCredentialHeaders.end());
    names.insert(names.end(), kCallerHeaders.begin(), kCallerHeaders.end());
    for (const auto &name : names) {
        for (const auto &spelling : spellings(name)) {
            EXPECT_TRUE(kIndexed.special.may_hold(spelling)) << spelling;
        }
    }
    for (auto name : {"accept", "content-type", "user-agent", "x-custom",
                      "x-codex-turn-metadata", "x-client-request-id",
                      "session-id", "version", "originator"}) {
        EXPECT_FALSE(kIndexed.special.may_hold(name)) << name;
        EXPECT_TRUE(kPolicy.special.may_hold(name)) << name;
    }
    EXPECT_TRUE(HeaderNames{}.may_hold(""));
    EXPECT_FALSE(HeaderNames{}.may_hold("x"));
}

TEST(RequestHead, HidesReply) {
    for (auto name : {"Accept-Encoding", "SEC_WEBSOCKET_EXTENSIONS"}) {
        EXPECT_TRUE(hides_reply(name)) << name;
    }
    EXPECT_FALSE(hides_reply("accept"));
}

TEST(RequestHead, ConnectionNames) {
    EXPECT_TRUE(connection_names("close, X-Secret", "x-secret"));
    EXPECT_TRUE(connection_names("X-Secret", "x_secret"));
    EXPECT_TRUE(connection_names(" , x-secret ,", "X-Secret"));
    EXPECT_FALSE(connection_names("close, x-secret-2", "x-secret"));
    EXPECT_FALSE(connection_names("", "x-secret"));

    std::array<std::string_view, 2> lines{"close", "x-a, x-secret"};
    EXPECT_TRUE(connection_names(lines, "X_Secret"));
    EXPECT_FALSE(connection_names(lines, "x-b"));
}

std::string without_keys(std::string_view list) {
    WebSocketProtocols protocols{list};
    std::string out(protocols.size(), '\0');
    auto end = protocols.write(out.data());
    EXPECT_EQ(end, out.data() + out.size());
    return out;
}

TEST(RequestHead, WebSocketProtocols) {
    struct {
        std::string_view list;
        std::string_view left;
    } cases[] = {
        {"realtime", "realtime"},
        {"realtime, openai-beta.realtime-v1",
         "realtime, openai-beta.realtime-v1"},
        {"realtime,openai-insecure-api-key.sk-test,x", "realtime, x"},
        {"openai-insecure-api-key.sk-test", ""},
        {"OpenAI-Insecure-API-Key.sk-test , realtime", "realtime"},
        {"openai-insecure-api-key.", ""},
        {"openai-organization.org, openai-project.p", ""},
        {"xai-client-secret.abc", ""},
        {"realtime, rt_abc", "realtime"},
        {"rt, xai-client-secret", "rt, xai-client-secret"},
        {"realtime ,, x", "realtime, x"},
        {"", ""},
        {" , ", ""},
        {"openai-insecure-api-key", "openai-insecure-api-key"},
        {"\xA0openai-insecure-api-key.sk-test, a, b c, \"d\"", "a"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(without_keys(c.list), c.left) << c.list;
    }
}

}  // namespace
}  // namespace keystile
