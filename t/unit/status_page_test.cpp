#include "status_page.hpp"

#include <gtest/gtest.h>

#include "made_up_report.hpp"
#include "status_json.hpp"

namespace keystile {
namespace {

std::size_t count(const std::string &text, std::string_view part) {
    std::size_t times = 0;
    for (auto at = text.find(part); at != std::string::npos;
         at = text.find(part, at + part.size())) {
        times++;
    }
    return times;
}

TEST(StatusPage, HoldsTheStatus) {
    MadeUpReport made_up;
    auto page = written(write_status_page, made_up.report);
    EXPECT_TRUE(page.starts_with("<!DOCTYPE html>\n"));
    EXPECT_TRUE(page.ends_with("</html>\n"));
    auto element = "<script type=\"application/json\" id=\"status\">" +
                   written(write_status_json, made_up.report) + "</script>";
    EXPECT_EQ(count(page, element), 1U);
}

TEST(StatusPage, NothingInItEndsTheScript) {
    MadeUpReport made_up;
    auto page = written(write_status_page, made_up.report);
    EXPECT_EQ(count(page, "<script"), 2U);
    EXPECT_EQ(count(page, "</script"), 2U);
    EXPECT_EQ(count(page, "<b>"), 0U);
    EXPECT_EQ(count(page, "<!--"), 0U);
}

TEST(StatusPage, NeedsNothingElseAndTrustsNothing) {
    MadeUpReport made_up;
    auto page = written(write_status_page, made_up.report);
    for (auto part : {"http:", "https:", "src=", "url(", "@import",
                      "innerHTML", "outerHTML", "insertAdjacentHTML",
                      "document.write", "eval(", "onclick"}) {
        EXPECT_EQ(count(page, part), 0U) << part;
    }
}

}  // namespace
}  // namespace keystile
