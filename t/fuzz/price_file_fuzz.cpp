// Any bytes as a price file: a table that holds together, or an error that
// says where, in bounded memory either way.

#include "price_file.hpp"

#include "check.hpp"
#include "json_file_check.hpp"
#include "model_pattern.hpp"

namespace keystile {
namespace {

void check_price(const Price &price) {
    for (auto part :
         {price.input, price.cached, price.cache_written, price.output}) {
        check(part <= 1'000'000'000'000, "no token costs more than a dollar");
    }
}

void check_table(const PriceTable &table) {
    check(!table.models.empty(), "a file without models is refused");
    for (const auto &model : table.models) {
        check(is_model_pattern(model.pattern), "models are patterns");
        check(model_matches(model.pattern, model.pattern),
              "a pattern matches itself");
        check(table.find(model.pattern) != nullptr, "what is there is found");
        check_price(model.price);
    }
    check(!table.prices_all() || table.find("") != nullptr,
          "every name has a price");
}

void check_file(std::string_view text) {
    Arena arena{64 * text.size()};
    auto table = parse_price_file(text, {Arena::allocate, &arena});
    if (table) {
        check_table(*table);
    } else {
        check_error(table.error(), text);
        check(std::string_view{table.error().message} != "out of memory",
              "64 bytes for each byte are enough");
    }

    // The same again, when memory ends somewhere on the way.
    Arena small{arena.used / 2};
    auto again = parse_price_file(text, {Arena::allocate, &small});
    if (!again) {
        check_error(again.error(), text);
    }
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    keystile::check_file(text_of(bytes, size));
    return 0;
}
