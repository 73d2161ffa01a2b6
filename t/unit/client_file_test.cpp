#include "client_file.hpp"

#include <gtest/gtest.h>

#include <string>

#include "arena.hpp"
#include "client_file_text.hpp"

namespace keystile {
namespace {

const Client *find(const ClientKeys &keys, const std::string &key) {
    static auto sha256 = Sha256::create();
    Sha256Digest digest{};
    EXPECT_TRUE(sha256->digest(key, digest));
    return keys.find(digest);
}

TEST(ClientFile, ReadsAllMembers) {
    Arena arena;
    std::string text =
        "{ \"version\": 1,\n"
        "  \"clients\": [\n"
        "    { \"id\": \"ci-runner\",\n"
        "      \"keys\": [\"" +
        hash("key-0") + "\", \"" + hash("key-1") +
        "\"],\n"
        "      \"expires\": \"2027-01-31T00:00:00Z\",\n"
        "      \"disabled\": true,\n"
        "      \"from\": [\"10.0.0.0/8\", \"2001:db8::/32\"],\n"
        "      \"allow\": [\"POST /v1/responses\", \"GET /v1/*/x websocket\"],"
        "\n"
        "      \"models\": [\"gpt-5*\", \"o4-mini\"],\n"
        "      \"limits\": [{\"requests\": 60, \"per\": \"minute\"},\n"
        "        {\"per\": \"day\", \"model\": \"GPT-5*\", \"usd\": 2.5}] },\n"
        "    { \"keys\": [\"" +
        hash("key-2") +
        "\"], \"id\": \"a@b.c_d\",\n"
        "      \"disabled\": false } ] }\n";
    auto keys = parse_client_file(text, arena.allocator());
    ASSERT_TRUE(keys) << keys.error().message;
    text.assign(text.size(), '#');  // nothing points into it

    ASSERT_EQ(keys->clients.size(), 2u);
    const auto &first = keys->clients[0];
    EXPECT_EQ(first.id, "ci-runner");
    EXPECT_EQ(first.expires, 1801353600);
    EXPECT_TRUE(first.disabled);
    ASSERT_EQ(first.from.size(), 2u);
    EXPECT_EQ(first.from[0].prefix, 104);
    EXPECT_EQ(first.from[1].prefix, 32);
    ASSERT_EQ(first.allow.size(), 2u);
    EXPECT_EQ(first.allow[0].methods, "POST");
    EXPECT_EQ(first.allow[0].path, "/v1/responses");
    EXPECT_FALSE(first.allow[0].websocket);
    EXPECT_EQ(first.allow[1].methods, "GET");
    EXPECT_EQ(first.allow[1].path, "/v1/*/x");
    EXPECT_TRUE(first.allow[1].websocket);
    ASSERT_EQ(first.models.size(), 2u);
    EXPECT_EQ(first.models[0], "gpt-5*");
    EXPECT_EQ(first.models[1], "o4-mini");
    ASSERT_EQ(first.limits.size(), 2u);
    EXPECT_EQ(first.limits[0].model, "");
    EXPECT_EQ(first.limits[1].model, "GPT-5*");

    const auto &second = keys->clients[1];
    EXPECT_EQ(second.id, "a@b.c_d");
    EXPECT_FALSE(second.expires);
    EXPECT_FALSE(second.disabled);
    EXPECT_TRUE(second.from.empty());
    EXPECT_TRUE(second.allow.empty());
    EXPECT_TRUE(second.models.empty());
    EXPECT_TRUE(second.limits.empty());

    EXPECT_EQ(find(*keys, "key-0"), &first);
    EXPECT_EQ(find(*keys, "key-1"), &first);
    EXPECT_EQ(find(*keys, "key-2"), &second);
    EXPECT_EQ(find(*keys, "key-3"), nullptr);
}

TEST(ClientFile, Accepted) {
    auto upper = hash("upper");
    for (auto &c : upper.replace(0, 7, "")) {
        c = static_cast<char>(std::toupper(c));
    }
    for (const auto &text : {
             file(client("a")),
             "{\"clients\": [" + client("a") + "], \"version\": 1}",
             file(client("a") + "," + client("A")),
             file(client(std::string(128, 'a'))),
             file("{\"id\": \"a\", \"keys\": [\"sha256:" + upper + "\"]}"),
             // Escapes are JSON's business.
             file("{\"\\u0069d\": \"\\u0061\", \"keys\": [\"" + hash("a") +
                  "\"]}"),
         }) {
        EXPECT_EQ(error_of(text), "accepted") << text;
    }
}

TEST(ClientFile, SyntaxErrors) {
    struct {
        std::string text;
        const char *error;
    } cases[] = {
        {"", "1:1 the JSON ends too early"},
        {"{", "1:1 the JSON ends too early"},
        {"{}x", "1:3 the JSON is followed by something else"},
        {"sk-test-plain-key", "1:2 the text is not JSON"},
        {"{\"version\": 1,\n \"clients\": [sk-test-plain]}",
         "2:15 the text is not JSON"},
        {"{\"version\": 1, \"version\": 1}", "1:24 a member is given twice"},
        {"{\"version\": 1, \"clients\": [\"\xFF\"]}",
         "1:28 the text is not UTF-8"},
        {"{\"version\": 99999999999999999999}",
         "1:32 the number is too large"},
        {"{\"version\": 1, \"clients\": \"\\u0000\"}",
         "1:34 the JSON holds a null character"},
        {std::string(5000, '['), "1:2049 the JSON is nested too deeply"},
        {std::string("{\0}", 3), "1:2 the JSON ends too early"},
        {"\xEF\xBB\xBF{}", "1:1 the text is not JSON"},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(error_of(c.text), c.error) << c.text.substr(0, 80);
    }
}

TEST(ClientFile, FormErrors) {
    const std::string h = "\"" + hash("h") + "\"";
    const std::string id_error =
        "\"id\" must be a string of 1 to 128 of the characters A-Z a-z 0-9 "
        ". _ @ -";
    const std::string key_error =
        "a key must be \"sha256:\" and the 64 hexadecimal digits of its "
        "SHA-256";
    const std::string expires_error =
        "\"expires\" must be a date-time of RFC 3339, such as "
        "\"2027-01-31T00:00:00Z\"";
    const std::string from_error =
        "an element of \"from\" must be an address or a network without host "
        "bits, such as \"10.0.0.0/8\"";
    const std::string allow_error =
        "an element of \"allow\" must be a rule, such as "
        "\"POST /v1/responses\"";

    const std::string rule_error = "invalid rule in \"allow\": ";
    const std::string narrow_error =
        "expected methods, a path and perhaps \"websocket\"";

    struct {
        std::string text;
        std::string error;
    } cases[] = {
        {"[]", "1:1 a client-key file must be a JSON object"},
        {"{}", "1:1 \"version\" is missing"},
        {"{\"version\": 1}", "1:1 \"clients\" is missing"},
        {"{\"clients\": [" + client("a") + "]}", "1:1 \"version\" is missing"},
        {"{\"version\": 2}", "1:13 \"version\" must be 1"},
        {"{\"version\": \"1\"}", "1:13 \"version\" must be 1"},
        {"{\"version\": 1.0}", "1:13 \"version\" must be 1"},
        {"{\"version\": 1,\n \"other\": 1}", "2:2 unknown member \"other\""},
        {"{\"version\": 1, \"clients\": {}}",
         "1:27 \"clients\" must be an array, and not empty"},
        {file(""), "1:27 \"clients\" must be an array, and not empty"},
        {file("1"), "1:28 a client must be a JSON object"},
        {file("{}"), "1:28 \"id\" of a client is missing"},
        {file("{\"id\": \"a\"}"), "1:28 \"keys\" of a client is missing"},
        {file("{\"keys\": [" + h + "]}"),
         "1:28 \"id\" of a client is missing"},

        {file("{\"id\": 1}"), "1:35 " + id_error},
        {file("{\"id\": \"\"}"), "1:35 " + id_error},
        {file("{\"id\": \"a b\"}"), "1:35 " + id_error},
        {file("{\"id\": \"a/b\"}"), "1:35 " + id_error},
        {file("{\"id\": \"\xC3\xA9\"}"), "1:35 " + id_error},
        {file("{\"id\": \"" + std::string(129, 'a') + "\"}"),
         "1:35 " + id_error},
        {file(client("a") + ",\n" + client("a")),
         "2:8 the id \"a\" is used twice"},

        {file("{\"keys\": " + h + "}"),
         "1:37 \"keys\" must be an array, and not empty"},
        {file("{\"keys\": []}"),
         "1:37 \"keys\" must be an array, and not empty"},
        {file("{\"keys\": [1]}"), "1:38 " + key_error},
        {file("{\"keys\": [" + h + ", \"sk-test-plain\"]}"),
         "1:113 " + key_error},
        {file("{\"keys\": [\"sha256:00\"]}"), "1:38 " + key_error},
        {file("{\"keys\": [" + h + "," + h + "]}"),
         "1:112 a key is listed twice"},
        {file("{\"id\": \"a\", \"keys\": [" + h + "," + h + "]}"),
         "1:123 client \"a\" has this key"},
        {file("{\"id\": \"a\", \"keys\": [" + h + "]},\n{\"keys\": [" + h +
              "]}"),
         "2:11 client \"a\" has this key"},

        {file(client("a", ",\n\"expires\": 1801353600")),
         "2:12 " + expires_error},
        {file(client("a", ",\n\"expires\": null")), "2:12 " + expires_error},
        {file(client("a", ",\n\"expires\": \"2027-01-31\"")),
         "2:12 " + expires_error},
        {file(client("a", ",\n\"disabled\": \"false\"")),
         "2:13 \"disabled\" must be true or false"},
        {file(client("a", ",\n\"disabled\": 0")),
         "2:13 \"disabled\" must be true or false"},
        {file(client("a", ",\n\"from\": []")),
         "2:9 \"from\" must be an array, and not empty"},
        {file(client("a", ",\n\"from\": \"10.0.0.0/8\"")),
         "2:9 \"from\" must be an array, and not empty"},
        {file(client("a", ",\n\"from\": [\"::1\", \"10.0.0.1/8\"]")),
         "2:17 " + from_error},
        {file(client("a", ",\n\"from\": [10]")), "2:10 " + from_error},
        {file(client("a", ",\n\"allow\": []")),
         "2:10 \"allow\" must be an array, and not empty"},
        {file(client("a", ",\n\"allow\": [\"GET /\", \"\"]")),
         "2:20 " + rule_error + "expected methods and a path"},
        {file(client("a", ",\n\"allow\": [\"GET\"]")),
         "2:11 " + rule_error + "expected methods and a path"},
        {file(client("a", ",\n\"allow\": [\"GET /v1/../x\"]")),
         "2:11 " + rule_error + std::string{describe(RuleFault::bad_path)}},
        {file(client("a", ",\n\"allow\": [\"GET /\\n/x\"]")),
         "2:11 " + rule_error + std::string{describe(RuleFault::bad_path)}},
        {file(client("a", ",\n\"allow\": [\"GET /x query=a\"]")),
         "2:11 " + rule_error + narrow_error},
        {file(client("a", ",\n\"allow\": [\"GET /x query=*\"]")),
         "2:11 " + rule_error + narrow_error},
        {file(client("a", ",\n\"allow\": [\"GET /x to=/y\"]")),
         "2:11 " + rule_error + narrow_error},
        {file(client("a",
                     ",\n\"allow\": [\"GET /x "
                     "identity=bearer\"]")),
         "2:11 " + rule_error + narrow_error},
        {file(client("a",
                     ",\n\"allow\": [\"GET /x websocket "
                     "query=a to=/y\"]")),
         "2:11 " + rule_error + narrow_error},
        {file(client("a", ",\n\"allow\": [[]]")), "2:11 " + allow_error},

        {file(client("a", ",\n\"key\": 1")), "2:1 unknown member \"key\""},
        {file(client("a", ",\n\"Expires\": 1")),
         "2:1 unknown member \"Expires\""},
        {file(client("a", ",\n\"\": 1")), "2:1 unknown member \"\""},
    };
    for (const auto &c : cases) {
        EXPECT_EQ(error_of(c.text), c.error) << c.text;
    }
}

// Somebody who has not understood the format may write a key in any place.
TEST(ClientFile, NoErrorHoldsAKey) {
    const std::string key = "sk-test-misplaced-key";
    const std::string quoted = "\"" + key + "\"";
    for (const auto &text : {
             quoted,
             "{" + quoted + ": 1}",
             "{" + quoted + " 1}",
             "{\"version\": " + quoted + "}",
             "{\"version\": 1, \"clients\": " + quoted + "}",
             "{\"version\": 1, \"clients\": {" + quoted + ": 1, " + quoted +
                 ": 1}}",
             file(quoted),
             file(key),
             file("{" + quoted + ": true}"),
             file("{\"id\": \"a\", \"keys\": " + quoted + "}"),
             file("{\"id\": \"a\", \"keys\": [" + quoted + "]}"),
             file("{\"id\": \"a\", \"keys\": [" + key + "]}"),
             file("{\"id\": \"a\", \"keys\": [\"sha256:" + key + "\"]}"),
             file("{\"id\": \"a\", \"keys\": [" + quoted),
             file("{\"id\": \"a\", \"keys\": [\"" + key),
             file("{\"id\": \"/" + key + "\"}"),
             file(client("a", ", \"expires\": " + quoted)),
             file(client("a", ", \"disabled\": " + quoted)),
             file(client("a", ", \"from\": " + quoted)),
             file(client("a", ", \"from\": [" + quoted + "]")),
             file(client("a", ", \"allow\": " + quoted)),
             file(client("a", ", \"allow\": [[" + quoted + "]]")),
             file(client("a", ", \"models\": " + quoted)),
             file(
                 client("a", ", \"models\": [" + quoted + "," + quoted + "]")),
             file(client("a", ", \"limits\": " + quoted)),
             file(client("a", ", \"limits\": [" + quoted + "]")),
             with_limits("{" + quoted + ": 1}"),
             with_limits("{\"usd\": " + quoted + "}"),
             with_limits("{\"usd\": 1, \"per\": " + quoted + "}"),
             file(client("a", R"(, "models": ["gpt-5"],
                 "limits": [{"concurrent": 1, "model": )" +
                                  quoted + "}]")),
         }) {
        auto error = error_of(text);
        EXPECT_NE(error, "accepted") << text;
        EXPECT_EQ(error.find("misplaced"), std::string::npos) << error;
    }

    auto twice = error_of(file(client("a") + ",{\"id\": \"b\", \"keys\": [\"" +
                               hash("a") + "\"]}"));
    EXPECT_EQ(twice.find(hash("a").substr(7, 8)), std::string::npos) << twice;
}

TEST(ClientFile, LongNamesAreNotShown) {
    auto error = error_of(file("{\"" + std::string(1000, 'x') + "\": 1}"));
    EXPECT_EQ(error, "1:29 unknown member");
}

TEST(ClientFile, OutOfMemoryAtAnyTimeIsAnError) {
    const auto text = file(client("a", ", \"from\": [\"::1\"]") + "," +
                           client("b", ", \"allow\": [\"GET /\"]") + "," +
                           client("c", R"(, "models": ["a*"], "limits":
                               [{"concurrent": 1, "model": "ab"}])"));
    Arena whole;
    ASSERT_TRUE(parse_client_file(text, whole.allocator()));
    for (std::size_t limit = 0; limit < whole.used; limit++) {
        Arena arena;
        arena.limit = limit;
        auto keys = parse_client_file(text, arena.allocator());
        ASSERT_FALSE(keys);
        EXPECT_STREQ(keys.error().message, "out of memory");
        EXPECT_EQ(keys.error().line, 0);
    }
}

TEST(ClientFile, SizeLimit) {
    auto text = file(client("a"));
    text.resize(kMaxClientFileSize, ' ');
    Arena arena;
    EXPECT_TRUE(parse_client_file(text, arena.allocator()));
    text += ' ';
    auto keys = parse_client_file(text, arena.allocator());
    ASSERT_FALSE(keys);
    EXPECT_EQ(keys.error().line, 0);
    EXPECT_STREQ(keys.error().message, "the file is larger than 64 MiB");
}

TEST(ClientFile, TenThousandClients) {
    std::string clients;
    for (int i = 0; i < 10000; i++) {
        clients += (i == 0 ? "" : ",\n") + client("c" + std::to_string(i));
    }
    Arena arena;
    auto keys = parse_client_file(file(clients), arena.allocator());
    ASSERT_TRUE(keys) << keys.error().message;
    EXPECT_EQ(keys->clients.size(), 10000u);
    for (int i = 0; i < 10000; i++) {
        auto id = "c" + std::to_string(i);
        auto found = find(*keys, id);
        ASSERT_NE(found, nullptr);
        EXPECT_EQ(found->id, id);
    }
}

// Many elements that cannot be valid take no memory for what they would be.
TEST(ClientFile, MemoryIsBounded) {
    std::string keys = "1";
    for (int i = 0; i < 65; i++) {
        keys += ",1";
    }
    for (const auto &element :
         {std::string{"1"}, std::string{"{}"}, std::string{"[]"},
          "{\"keys\":[" + keys + "]}", "{\"from\":[" + keys + "]}",
          "{\"allow\":[" + keys + "]}", "{\"models\":[" + keys + "]}",
          "{\"limits\":[" + keys + "]}", std::string{"{\"limits\":[1]}"}}) {
        std::string clients = element;
        for (int i = 0; i < 1000; i++) {
            clients += "," + element;
        }
        EXPECT_NE(error_of(file(clients)), "accepted");
    }
}

}  // namespace
}  // namespace keystile
