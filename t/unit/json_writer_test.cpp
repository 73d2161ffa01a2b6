#include "json_writer.hpp"

#include <gtest/gtest.h>
#include <jansson.h>

#include "made_up_report.hpp"

namespace keystile {
namespace {

TEST(JsonWriter, CommasAndNesting) {
    StringSink sink;
    JsonWriter json{sink};
    json.begin_array();
    json.begin_object();
    json.end_object();
    json.begin_object();
    json.member("a", 1);
    json.member("b", "two");
    json.name("c");
    json.begin_array();
    json.number(3);
    json.null();
    json.begin_array();
    json.end_array();
    json.end_array();
    json.member_or_null("d", "");
    json.member_or_null("e", "f");
    json.end_object();
    json.decimal(1500, 3);
    json.timestamp(1801353600);
    json.timestamp(0);
    json.end_array();
    EXPECT_EQ(sink.text(),
              "[{},{\"a\":1,\"b\":\"two\",\"c\":[3,null,[]],\"d\":null,"
              "\"e\":\"f\"},1.5,\"2027-01-31T00:00:00Z\",null]");
}

TEST(JsonWriter, Strings) {
    struct {
        const char *text;
        const char *json;
    } cases[] = {
        {"", R"("")"},
        {"gpt-5", R"("gpt-5")"},
        {"\"\\/", R"("\"\\/")"},
        {"</script>", R"("\u003c/script>")"},
        {"\x01\t\n\x1F\x7F", "\"\\u0001\\u0009\\u000a\\u001f\x7F\""},
        {"\xC3\xA9\xF0\x9F\x98\x80", "\"\xC3\xA9\xF0\x9F\x98\x80\""},
        {"\xC3\xFF", "\"\xEF\xBF\xBD\xEF\xBF\xBD\""},
    };
    for (const auto &c : cases) {
        StringSink sink;
        JsonWriter{sink}.string(c.text);
        EXPECT_EQ(sink.text(), c.json);
    }
}

TEST(JsonWriter, AnotherReaderReadsEveryByte) {
    for (int i = 0; i < 256; i++) {
        std::string text{'a', static_cast<char>(i), 'b'};
        StringSink sink;
        JsonWriter{sink}.string(text);
        json_error_t error;
        json_t *root = json_loadb(sink.text().data(), sink.text().size(),
                                  JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        ASSERT_NE(root, nullptr) << i << ": " << error.text;
        std::string read{json_string_value(root), json_string_length(root)};
        EXPECT_EQ(read, i < 0x80 ? text
                                 : "a\xEF\xBF\xBD"
                                   "b")
            << i;
        json_decref(root);
    }
}

}  // namespace
}  // namespace keystile
