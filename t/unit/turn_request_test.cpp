#include "turn_request.hpp"

#include <gtest/gtest.h>

#include <string>

#include "pieces.hpp"

namespace keystile {
namespace {

using Naming = TurnRequest::Naming;

TurnRequest request_of(std::string_view json) {
    TurnRequestReader reader;
    reader.take(json);
    return reader.end_text();
}

TEST(TurnRequest, HoweverItIsCut) {
    for_each_cut(
        R"({"input":[{"model":"x"}],"model":"gpt-5","type":"response.create",)"
        R"("generate":false})",
        [](auto read) {
            TurnRequestReader reader;
            read([&reader](std::string_view piece) { reader.take(piece); });
            auto request = reader.end_text();
            EXPECT_EQ(request.naming, Naming::named);
            EXPECT_EQ(request.model.view(), "gpt-5");
            EXPECT_TRUE(request.creates);
            EXPECT_TRUE(request.prewarm);
        });
}

TEST(TurnRequest, ModelsThatCannotBeTold) {
    EXPECT_EQ(request_of("{}").naming, Naming::missing);
    EXPECT_EQ(request_of(R"({"a":{"model":"m"}})").naming, Naming::missing);
    for (auto json :
         {R"({"model":"a","model":"a"})", R"({"model":"a","mod\u0065l":"b"})",
          R"({"model":1,"model":"a"})", R"({"model":"a","model":null})"}) {
        EXPECT_EQ(request_of(json).naming, Naming::doubled) << json;
        EXPECT_EQ(request_of(json).model.view(), "") << json;
    }
    for (auto json :
         {R"({"model":1})", R"({"model":null})", R"({"model":["a"]})",
          R"({"model":{"a":1}})", R"({"model":""})", R"({"model":"a\u0000"})",
          R"({"model":"a"})"
          "x",
          R"({"model":"a")", "", "\x1F\x8B", R"(model=a)"}) {
        EXPECT_EQ(request_of(json).naming, Naming::unreadable) << json;
        EXPECT_EQ(request_of(json).model.view(), "") << json;
    }
}

TEST(TurnRequest, OtherModelsThatMayBeAskedToo) {
    auto strict = [](std::string_view json) {
        TurnRequestReader reader;
        reader.be_strict();
        reader.take(json);
        return reader.end_text().naming;
    };
    for (auto json : {
             R"({"model":"a","tools":[{"type":"advisor","model":"b"}]})",
             R"({"tools":[1,[],{},{"x":[{"y":1}],"Model":"b"}],"model":"a"})",
             R"({"model":"a","fallbacks":[{"model":"b"}]})",
             R"({"model":"a","fallbacks":"default"})",
             R"({"model":"a","fallbacks":["b"]})",
             R"({"model":"a","Models":["b"]})",
         }) {
        EXPECT_EQ(strict(json), Naming::doubled) << json;
        EXPECT_EQ(request_of(json).model.view(), "a") << json;
    }
    for (auto json : {
             R"({"model":"a","tools":[{"name":"t","input_schema":{)"
             R"("properties":{"model":{"type":"string"}}}}]})",
             R"({"model":"a","tools":[],"fallbacks":null})",
             R"({"model":"a","tools":{"model":"b"}})",
             R"({"model":"a","messages":[{"model":"b","models":["c"]}]})",
         }) {
        EXPECT_EQ(strict(json), Naming::named) << json;
    }
    TurnRequestReader reader;
    reader.be_strict();
    reader.take(R"({"models":[)");
    reader.end_text();
    reader.take(R"({"model":"a"})");
    EXPECT_EQ(reader.end_text().naming, Naming::named);
}

TEST(TurnRequest, WhoNamesTheModelOfATurn) {
    EXPECT_TRUE(request_of(R"({"input":[]})").names_by_itself);
    EXPECT_TRUE(request_of(R"({"prompt":{"id":"p"}})").names_by_itself);
    EXPECT_FALSE(request_of(R"({"type":"response.create","response":{)"
                            R"("input":[],"prompt":{}}})")
                     .names_by_itself);
}

TEST(TurnRequest, DoubledMembersCostTheMore) {
    EXPECT_FALSE(request_of(R"({"generate":false,"generate":true})").prewarm);
    EXPECT_FALSE(request_of(R"({"generate":true,"generate":false})").prewarm);
    EXPECT_FALSE(request_of(R"({"generate":"false"})").prewarm);
    EXPECT_FALSE(request_of(R"({"input":{"generate":false}})").prewarm);
    EXPECT_TRUE(
        request_of(R"({"type":"response.create","type":"x"})").creates);
    EXPECT_TRUE(
        request_of(R"({"type":"x","type":"response.create"})").creates);
    EXPECT_FALSE(request_of(R"({"type":"response.cancel"})").creates);
}

TEST(TurnRequest, NothingStaysFromTheOneBefore) {
    TurnRequestReader reader;
    reader.take(R"({"model":"a","type":"response.create","generate":fa)");
    reader.end_text();
    reader.take(R"({"input":[]})");
    auto request = reader.end_text();
    EXPECT_EQ(request.naming, Naming::missing);
    EXPECT_FALSE(request.creates || request.prewarm);
}

// Wherever the one before was cut off, by whoever may gain by it.
TEST(TurnRequest, NothingStaysFromOneThatWasCutOff) {
    const std::string_view before =
        R"({"model":"a\u00e9\"b","type":"response.create","generate":true,)"
        R"("x":"\\\"y","in":[{"z":["\\",-1.5e3,null,"\u0041"]}],"n":12})";
    const std::string_view after =
        R"({"a":["","],",":["],"type":"response.create","model":"gpt-5-pro",)"
        R"("input":"hi","b":["\""]})";
    for (std::size_t cut = 0; cut <= before.size(); cut++) {
        TurnRequestReader reader;
        reader.take(before.substr(0, cut));
        reader.end_text();
        reader.take(after);
        auto request = reader.end_text();
        EXPECT_EQ(request.naming, Naming::named) << cut;
        EXPECT_EQ(request.model.view(), "gpt-5-pro") << cut;
        EXPECT_TRUE(request.creates) << cut;
    }
}

// What is passed over where nothing is decided.
TEST(TurnRequest, StrictOnesAreJsonToTheLetter) {
    for (auto json :
         {R"({"model":"a","x":['"'],"model":"b","y":['"']})",
          R"({"x":['"'],"type":"response.create","model":"b","y":['"']})",
          R"({"model":"a","x":[/*"*/],"model":"b","y":[/*"*/]})",
          R"({"model":"a","x":[,,@]})", R"({"model":"a","x":[}})",
          R"({"model":"a","x":01})", "{\"model\":\"a\",\"x\":\"\xFF\"}"}) {
        EXPECT_NE(request_of(json).naming, Naming::unreadable) << json;
        for_each_cut(json, [json](auto read) {
            TurnRequestReader reader;
            reader.be_strict();
            read([&reader](std::string_view piece) { reader.take(piece); });
            auto request = reader.end_text();
            EXPECT_EQ(request.naming, Naming::unreadable) << json;
            EXPECT_EQ(request.model.view(), "") << json;
            reader.take(R"({"model":"a","x":["'\"'"]})");
            EXPECT_EQ(reader.end_text().naming, Naming::named) << json;
        });
    }
}

}  // namespace
}  // namespace keystile
