#include "prometheus_text.hpp"

#include "escaped_text.hpp"
#include "number_text.hpp"

namespace keystile {
namespace {

std::string_view escape_of(char c) noexcept {
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    default:
        return {};
    }
}

}  // namespace

void put_family(TextSink &sink, std::string_view name, std::string_view type,
                std::string_view help) noexcept {
    for (auto text : {std::string_view{"# HELP "}, name, std::string_view{" "},
                      help, std::string_view{"\n# TYPE "}, name,
                      std::string_view{" "}, type, std::string_view{"\n"}}) {
        sink.put(text);
    }
}

PrometheusSample::PrometheusSample(TextSink &sink, std::string_view name,
                                   std::string_view suffix) noexcept
    : sink_{sink} {
    sink_.put(name);
    sink_.put(suffix);
}

PrometheusSample &PrometheusSample::label(std::string_view name,
                                          std::string_view value) noexcept {
    sink_.put(has_labels_ ? "," : "{");
    sink_.put(name);
    sink_.put("=\"");
    put_escaped(sink_, value, escape_of);
    sink_.put("\"");
    has_labels_ = true;
    return *this;
}

void PrometheusSample::value(std::uint64_t amount,
                             unsigned decimals) noexcept {
    sink_.put(has_labels_ ? "} " : " ");
    sink_.put(NumberText{amount, decimals}.view());
    sink_.put("\n");
}

}  // namespace keystile
