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

// Whole, and cut anywhere.
void expect_naming(std::string_view json, Naming naming) {
    for_each_cut(json, [json, naming](auto read) {
        TurnRequestReader reader;
        reader.be_strict();
        read([&reader](std::string_view piece) { reader.take(piece); });
        EXPECT_EQ(reader.end_text().naming, naming) << json;
    });
    EXPECT_EQ(request_of(json).naming, Naming::named) << json;
    EXPECT_EQ(request_of(json).model.view(), "a") << json;
}

TEST(TurnRequest, OtherModelsThatMayBeAskedToo) {
    for (auto json : {
             R"({"model":"a","tools":[{"type":"advisor","model":"b"}]})",
             R"({"tools":[1,[],{},{"x":[{"y":1}],"Model":"b"}],"model":"a"})",
             R"({"model":"a","fallbacks":[{"model":"b"}]})",
             R"({"model":"a","fallbacks":"default"})",
             R"({"model":"a","fallbacks":["b"]})",
             R"({"model":"a","Models":["b"]})",
             R"({"model":"a","plugins":[{"id":"x","model":"b"}]})",
             R"({"model":"a","plugins":[{"id":"x"},{"models":["b"]}]})",
             R"({"model":"a","plugins":[{"analysis_models":["b"]}]})",
             R"({"model":"a","plugins":[{"allowed_models":["b"]}]})",
             R"({"model":"a","providerOptions":{"gateway":{"models":["b"]}}})",
         }) {
        expect_naming(json, Naming::doubled);
    }
    TurnRequestReader reader;
    reader.be_strict();
    reader.take(R"({"models":[)");
    reader.end_text();
    reader.take(R"({"model":"a"})");
    EXPECT_EQ(reader.end_text().naming, Naming::named);
}

// In the body itself, and in what an item of the input brings along.
TEST(TurnRequest, ModelsOfTools) {
    for (std::string tool : {
             R"({"type":"image_generation","model":"b"})",
             R"({"type":"x:advisor","parameters":{"model":"b"}})",
             R"({"parameters":{"properties":{},"models":["b"]}})",
             R"({"type":"x:fusion","parameters":{"analysis_models":["b"]}})",
             R"({"type":"namespace","name":"n","tools":[{"type":"function"},)"
             R"({"type":"image_generation","model":"b"}]})",
             R"({"type":"namespace","tools":[{"parameters":{"model":"b"}}]})",
         }) {
        expect_naming(R"({"model":"a","tools":[)" + tool + "]}",
                      Naming::doubled);
        expect_naming(R"({"input":[{"role":"user"},{"tools":[)" + tool +
                          R"(],"type":"additional_tools"}],"model":"a"})",
                      Naming::doubled);
    }
}

TEST(TurnRequest, WhatOnlySpeaksOfModels) {
    for (
        std::string tool : {
            R"({"name":"t","input_schema":{"type":"object","properties":{)"
            R"("model":{"type":"string"},"models":{}},"required":["model"]}})",
            R"({"type":"function","name":"t","parameters":{"type":"object",)"
            R"("properties":{"model":{"type":"string"}},)"
            R"("required":["model","models"]}})",
            R"({"type":"function","function":{"name":"t","parameters":{)"
            R"("type":"object","properties":{"model":{"enum":["b"]}}}}})",
            R"({"type":"namespace","tools":[{"name":"t","parameters":{)"
            R"("properties":{"model":{"type":"string"}}}}]})",
            R"({"parameters":{"model":null},"tools":[]})",
        }) {
        expect_naming(R"({"model":"a","tools":[)" + tool + "]}",
                      Naming::named);
        expect_naming(R"({"input":[{"tools":[)" + tool +
                          R"(],"type":"tool_search_output"}],"model":"a"})",
                      Naming::named);
    }
    for (auto json : {
             R"({"model":"a","tools":[],"fallbacks":null})",
             R"({"model":"a","tools":{"model":"b"}})",
             R"({"model":"a","messages":[{"model":"b","models":["c"]}]})",
             R"({"model":"a","input":[{"model":"b","models":["c"]}]})",
             R"({"model":"a","input":"models","prompt":{"model":"b"}})",
             R"({"model":"a","input":{"tools":[{"model":"b"}]}})",
             R"({"model":"a","input":[{"tools":"model"},"model",["model"]]})",
             R"({"model":"a","plugins":[{"id":"web","engine":"models"}]})",
             R"({"model":"a","providerOptions":{"gateway":{"order":["b"]}}})",
         }) {
        expect_naming(json, Naming::named);
    }
}

// Go, where it minds no case, takes U+017F for an "s" and U+212A for a "k".
TEST(TurnRequest, NamesInLettersThatFold) {
    for (auto json : {
             "{\"model\":\"a\",\"model\xC5\xBF\":[\"b\"]}",
             "{\"model\":\"a\",\"FALLBAC\xE2\x84\xAAS\":[\"b\"]}",
             R"({"model":"a","model\u017f":["b"]})",
             R"({"model":"a","fallbac\u212A\u017F":["b"]})",
             R"({"model":"a","tool\u017F":[{"model":"b"}]})",
             R"({"model":"a","tools":[{"Parameter\u017F":{"model":"b"}}]})",
         }) {
        expect_naming(json, Naming::doubled);
    }
    for (auto json : {
             "{\"model\":\"a\",\"model\xC5\xA1\":[\"b\"],\"\xC5\xBF\":1}",
             "{\"model\":\"a\",\"model\xC5\xBF\xC5\xBF\":[\"b\"]}",
             R"({"model":"a","\u212A\u017Fmodel\u212A":["b"]})",
         }) {
        expect_naming(json, Naming::named);
    }
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
