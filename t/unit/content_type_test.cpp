#include "content_type.hpp"

#include <gtest/gtest.h>

#include <string>

namespace keystile {
namespace {

TEST(ContentType, IsJson) {
    for (auto value :
         {"application/json", "APPLICATION/Json", " application/json\t",
          "application/json;charset=utf-8", "application/json ; charset=UTF-8",
          "application/json; Charset=\"utf-8\"",
          "application/json\t;\tcharset=\"UTF-8\" ", "application/json;",
          "application/json; ; charset=utf-8;",
          "application/json; charset=utf-8; charset=utf-8",
          "application/ld+json", "application/vnd.api+JSON; charset=utf-8",
          "application/x!#$%&'*+-.^_`|~+json"}) {
        EXPECT_TRUE(is_json_type(value)) << value;
    }
}

TEST(ContentType, IsNot) {
    for (auto value : {"",
                       " ",
                       ";",
                       "/",
                       "json",
                       "+json",
                       "application",
                       "application/",
                       "/json",
                       "/x+json",
                       "multipart/x+json",
                       "model/gltf+json",
                       "application",
                       "application/",
                       "application/form+data",
                       "application/jsonl",
                       "application/json5",
                       "application/x-ndjson",
                       "application/xjson",
                       "text/json",
                       "text/plain",
                       "application/x-www-form-urlencoded",
                       "multipart/form-data; boundary=x",
                       "multipart/form-data",
                       "application/json/x",
                       "application/ json",
                       "application /json",
                       "application/json x",
                       "application/json, application/json",
                       "application/json,text/plain",
                       "text/plain, a/b+json",
                       "a/b;x/y+json",
                       "a/b/c+json",
                       "a/b +json",
                       "\"a\"/b+json",
                       "a/b+json+x",
                       "application/json\x7F",
                       "application/json\n",
                       "application/json\xA0",
                       "\"application/json\""}) {
        EXPECT_FALSE(is_json_type(value)) << value;
    }
}

TEST(ContentType, HasNoOtherParameter) {
    for (auto parameters : {"charset",
                            "charset=",
                            "charset=\"\"",
                            "charset=utf-7",
                            "charset=utf-16",
                            "charset=utf8",
                            "charset=utf-8x",
                            "charset=utf_8",
                            "charset=\"utf-8",
                            "charset=utf-8\"",
                            "charset='utf-8'",
                            "charset=\"utf-8 \"",
                            "charset=\"\\utf-8\"",
                            "charset = utf-8",
                            "charset= utf-8",
                            "charset =utf-8",
                            "charset=utf-8 x",
                            "charset=utf-8, x",
                            "charset=utf-8; charset=utf-7",
                            "charset=utf-7; charset=utf-8",
                            "charset=utf-8; boundary=x",
                            "boundary=x",
                            "version=1",
                            "x=\"; charset=utf-8\"",
                            "charset*=utf-8",
                            "charset=utf-8=",
                            "charset=\"utf-8\"x"}) {
        auto value = std::string{"application/json; "} + parameters;
        EXPECT_FALSE(is_json_type(value)) << value;
    }
}

}  // namespace
}  // namespace keystile
