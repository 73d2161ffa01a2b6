#include "price_file.hpp"

#include <optional>

#include "json_file_reader.hpp"
#include "json_values.hpp"

namespace keystile {
namespace {

// Makes the result from the tree. Each function returns false once it has set
// the file's error.
class PriceReader {
public:
    explicit PriceReader(JsonFileReader &file) noexcept : file_{file} {}

    bool read_file(const JsonElement &root) noexcept;

    PriceTable table() const noexcept { return {models_}; }

private:
    bool read_models(const JsonElement &list) noexcept;
    bool read_model(const JsonElement &object, PricedModel &model) noexcept;
    bool read_price(std::string_view name, const JsonElement &value,
                    std::optional<Picodollars> &price) noexcept;

    JsonFileReader &file_;
    DistinctPatterns patterns_;
    std::span<PricedModel> models_;
};

bool PriceReader::read_file(const JsonElement &root) noexcept {
    if (!json_is_object(root.json)) {
        return file_.fail(root, {"a price file must be a JSON object"});
    }
    auto read = [this](std::string_view name, const JsonElement &value) {
        return name == "version"  ? file_.expect_version(value)
               : name == "models" ? read_models(value)
                                  : file_.refuse_member(name, value);
    };
    return for_each_member(root, read) &&
           file_.expect_members(root, {"version", "models"});
}

bool PriceReader::read_models(const JsonElement &list) noexcept {
    auto read = [this](std::size_t i, const JsonElement &object) {
        return read_model(object, models_[i]);
    };
    return file_.expect_list(list, "models") &&
           file_.allocate(json_array_size(list.json), models_) &&
           for_each_item(list, read);
}

bool PriceReader::read_model(const JsonElement &object,
                             PricedModel &model) noexcept {
    if (!json_is_object(object.json)) {
        return file_.fail(object, {"a model must be a JSON object"});
    }
    std::optional<Picodollars> input;
    std::optional<Picodollars> cached;
    std::optional<Picodollars> cache_written;
    std::optional<Picodollars> output;
    auto read = [&, this](std::string_view name, const JsonElement &value) {
        return name == "model"   ? patterns_.read(file_, value, model.pattern)
               : name == "input" ? read_price(name, value, input)
               : name == "cached_input" ? read_price(name, value, cached)
               : name == "cache_write" ? read_price(name, value, cache_written)
               : name == "output"      ? read_price(name, value, output)
                                       : file_.refuse_member(name, value);
    };
    if (!for_each_member(object, read) ||
        !file_.expect_members(object, {"model", "input", "output"},
                              " of a model")) {
        return false;
    }
    model.price = {.input = *input,
                   .cached = cached.value_or(*input),
                   .cache_written = cache_written.value_or(*input),
                   .output = *output};
    return true;
}

// Millionths of a dollar for a million tokens are Picodollars for one.
bool PriceReader::read_price(std::string_view name, const JsonElement &value,
                             std::optional<Picodollars> &price) noexcept {
    price = read_usd(value.json);
    return price.has_value() ||
           file_.fail(value, {"\"", name,
                              "\" must be a number from 0 to "
                              "1000000 with 6 decimals at most"});
}

}  // namespace

Result<PriceTable, PriceFileError> parse_price_file(
    std::string_view json_text, Allocator allocator) noexcept {
    JsonFileReader file{json_text, allocator};
    auto root = file.parse(kMaxPriceFileSize / 1024 / 1024);
    if (!root) {
        return file.error();
    }
    PriceReader reader{file};
    if (!reader.read_file(JsonElement{root.get()})) {
        return file.error();
    }
    return reader.table();
}

}  // namespace keystile
