#include "json_scan.hpp"

#include <gtest/gtest.h>

#include <string>

#include "pieces.hpp"

namespace keystile {
namespace {

constexpr std::array<JsonMember, 2> kDeepMembers{{{"n", 4}, {"t", 5}}};
constexpr JsonShape kDeep{kDeepMembers};
constexpr std::array<JsonMember, 2> kInnerMembers{
    {{"n", 2}, {"deep", 0, &kDeep}}};
constexpr JsonShape kInner{kInnerMembers};
constexpr std::array<JsonMember, 5> kMembers{{
    {"n", 1},
    {"in", 3, &kInner},
    {"", 6},
    {"list", 7, nullptr, &kInner},
    {"quiet", 0, nullptr, &kDeep},
}};
constexpr JsonShape kShape{kMembers};

void append(std::string &out, const JsonValue &value) {
    constexpr std::array<std::string_view, 9> kinds{
        "text", "long", "", "number", "yes", "no", "null", "{", "["};
    out += std::to_string(value.field) + "=";
    out += value.kind == JsonKind::count
               ? std::to_string(value.count)
               : std::string{kinds[static_cast<std::size_t>(value.kind)]};
    out += value.kind == JsonKind::text ? "'" + std::string{value.text} + "' "
                                        : " ";
}

template <typename Read>
std::string values_of(Read read) {
    JsonScan scan{kShape};
    std::string out;
    read([&](std::string_view piece) {
        while (auto value = scan.next(piece)) {
            append(out, *value);
        }
        EXPECT_TRUE(piece.empty());
    });
    out += scan.is_closed() ? "." : "";
    out += scan.is_malformed() ? "!" : "";
    return out;
}

void expect(std::string_view json, std::string_view values) {
    for_each_cut(
        json, [&](auto read) { EXPECT_EQ(values_of(read), values) << json; });
}

TEST(JsonScan, FindsWhatIsWantedWhereItIsWanted) {
    expect(R"({"n":1,"in":{"n":2,"deep":{"n":3,"t":"x"}}})",
           "1=1 3={ 2=2 4=3 5=text'x' .");
    expect(R"({"in":{"in":{"n":1}},"x":{"n":2},"y":[{"n":3}],"n":4})",
           "3={ 1=4 .");
    expect(" \r\n{ \"n\" : 7 , \"in\" : { } }\t", "1=7 3={ .");
    expect(R"({"n":[1,{"n":2}],"in":[]})", "1=[ 3=[ .");
    expect(R"({"n":{"n":2}})", "1={ .");
    expect(R"({})", ".");
    expect(R"({"":true})", "6=yes .");
}

TEST(JsonScan, ObjectsInArrays) {
    expect(R"({"list":[{"n":1},{"n":2,"deep":{"n":3}}],"n":4})",
           "7=[ 2=1 2=2 4=3 1=4 .");
    expect(R"({"list":[ ],"n":1})", "7=[ 1=1 .");
    expect(R"({"list":[1,"n",null,["n",{"n":5}],{"n":6},"x"],"n":1})",
           "7=[ 2=6 1=1 .");
    expect(R"({"list":[{"x":[{"n":1}],"list":[{"n":1}]} , {"n":2}]})",
           "7=[ 2=2 .");
    expect(R"({"list":{"n":1},"quiet":{"n":1}})", "7={ .");
    expect(R"({"quiet":[{"n":1,"t":"x"}, {"n":2}],"n":3})",
           "4=1 5=text'x' 4=2 1=3 .");
    expect(R"([{"list":[{"n":1}]},{"list":[{"n":2}]}])", "7=[ 2=1 7=[ 2=2 .");
    expect(R"({"list":[{"n":1},]})", "7=[ 2=1 !");
    expect(R"({"list":[{"n":1}}})", "7=[ 2=1 !");
    expect(R"({"list":[{"n":1}]])", "7=[ 2=1 !");
    expect(R"({"list":["n":1]})", "7=[ !");
    expect(R"({"list":[{"n":1})", "7=[ 2=1 ");
}

TEST(JsonScan, KindsOfValues) {
    expect(R"({"n":true})", "1=yes .");
    expect(R"({"n":false})", "1=no .");
    expect(R"({"n":null,"x":null,"y":true})", "1=null .");
    expect(R"({"n":"12"})", "1=text'12' .");
    expect(R"({"n":0})", "1=0 .");
    expect(R"({"n":18446744073709551615})", "1=18446744073709551615 .");
}

TEST(JsonScan, OnlyUnsignedIntegersAreCounts) {
    for (std::string number :
         {"-1", "-0", "1.0", "1e3", "1E+3", "18446744073709551616",
          "99999999999999999999999999", "0.5"}) {
        expect(R"({"n":)" + number + R"(,"in":{"n":)" + number + "}}",
               "1=number 3={ 2=number .");
    }
}

TEST(JsonScan, ReportsAMemberEachTimeItComes) {
    expect(R"({"n":1,"n":2,"in":{"n":3},"in":{"n":4}})",
           "1=1 1=2 3={ 2=3 3={ 2=4 .");
}

TEST(JsonScan, ResolvesEscapes) {
    expect(R"({"\u006e":1,"\u0069n":{"\u006E":2}})", "1=1 3={ 2=2 .");
    expect(R"({"n\u0000":1,"\\n":2,"n\n":3,"N":4})", ".");
    expect(R"({"n":"\"\\\/\b\f\n\r\t\u00e9\u20aC"})",
           "1=text'\"\\/\b\f\n\r\t\xC3\xA9\xE2\x82\xAC' .");
    expect(R"({"n":"\ud83d\ude00"})", "1=text'\xF0\x9F\x98\x80' .");
    expect(R"({"n":"\ud83d"})", "1=text'\xEF\xBF\xBD' .");
    expect(R"({"n":"\ude00x"})", "1=text'\xEF\xBF\xBDx' .");
    expect(R"({"n":"\ud83d\ud83d\ude00"})",
           "1=text'\xEF\xBF\xBD\xF0\x9F\x98\x80' .");
    expect(R"({"n":"\ud83dx\ude00"})", "1=text'\xEF\xBF\xBDx\xEF\xBF\xBD' .");
}

TEST(JsonScan, PassesOverStringsWithEscapes) {
    expect(R"({"x":"\"n\":1,","y":"\\","z":"\\\"","n":2})", "1=2 .");
    expect(R"({"x":["\\\\\"]}",{"a":"}"}],"n":3})", "1=3 .");
    expect(R"({"x":"01234567890123456789\\","n":3})", "1=3 .");
    expect(R"({"x":"01234567890123456789\"","n":3})", "1=3 .");
}

TEST(JsonScan, LongTextIsReadToItsEnd) {
    auto of_size = [](std::size_t size) {
        return R"({"n":")" + std::string(size, 'a') + R"(","in":{}})";
    };
    expect(of_size(64), "1=text'" + std::string(64, 'a') + "' 3={ .");
    expect(of_size(65), "1=long 3={ .");
    expect(of_size(300), "1=long 3={ .");
    expect("{\"" + std::string(65, 'n') + R"(":1,"n":2})", "1=2 .");
}

TEST(JsonScan, AnArrayOfDocuments) {
    expect(R"([{"n":1},{"n":2} , 3, "x", [{"n":4}], {"in":{"n":5}}])",
           "1=1 1=2 3={ 2=5 .");
    expect("[]", ".");
    expect("[ ] ", ".");
}

TEST(JsonScan, DocumentsWithNothingToFind) {
    expect(R"("n")", ".");
    expect("[1", "");
    expect("true ", ".");
    expect("", "");
}

TEST(JsonScan, StopsAtWhatIsMalformed) {
    expect(R"({"n":1}})", "1=1 .!");
    expect(R"({"n":1} {"n":2})", "1=1 .!");
    expect(R"({"n":1]"n":2})", "1=1 !");
    expect(R"({"n" 1,"n":2})", "!");
    expect(R"({,"n":1})", "!");
    expect(R"({"n":1,})", "1=1 !");
    expect(R"({n:1})", "!");
    expect(R"({"n":tru3,"n":1})", "!");
    expect(R"({"n":1x,"n":1})", "!");
    expect(R"({"n":0x1})", "!");
    expect(R"({"n":"\x","n":1})", "!");
    expect(R"({"n":"\u12g4","n":1})", "!");
    expect("{\"n\":\"a\nb\",\"n\":1}", "!");
    expect("{\"n\n\":1}", "!");
    expect("[DONE]", "!");
    expect("<html>", "!");
}

TEST(JsonScan, IsOpenWhereTheTextIsCut) {
    const std::string json = R"({"x":[{"y":"z\n"}],"n":12,"in":{"n":3}})";
    for (std::size_t size = 0; size < json.size(); size++) {
        JsonScan scan{kShape};
        std::string_view piece{json.data(), size};
        std::string values;
        while (auto value = scan.next(piece)) {
            append(values, *value);
        }
        EXPECT_FALSE(scan.is_closed());
        EXPECT_FALSE(scan.is_malformed());
        EXPECT_TRUE(std::string_view{"1=12 3={ 2=3 "}.starts_with(values));
    }
}

TEST(JsonScan, DepthIsNoMatter) {
    std::string json = R"({"x":)";
    constexpr int depth = 1'000'000;
    for (int i = 0; i < depth; i++) {
        json += i % 2 == 0 ? "[" : "{\"n\":";
    }
    json += "0";
    for (int i = depth - 1; i >= 0; i--) {
        json += i % 2 == 0 ? "]" : "}";
    }
    json += R"(,"n":5})";
    EXPECT_EQ(values_of([&](auto take) { in_pieces(json, 4096, take); }),
              "1=5 .");
}

TEST(JsonScan, CanStartAgainAnywhere) {
    const std::string json = R"([{"in":{"deep":{"t":"\u0041\"")";
    for (std::size_t size = 0; size <= json.size(); size++) {
        JsonScan scan{kShape};
        std::string_view first{json.data(), size};
        while (scan.next(first)) {
        }
        scan.start();
        std::string_view second = R"({"n":9})";
        auto value = scan.next(second);
        ASSERT_TRUE(value.has_value());
        EXPECT_EQ(value->count, 9U);
        EXPECT_FALSE(scan.next(second).has_value());
        EXPECT_TRUE(scan.is_closed());
    }
}

}  // namespace
}  // namespace keystile
