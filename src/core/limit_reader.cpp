#include "limit_reader.hpp"

#include <algorithm>
#include <string_view>

#include "ascii.hpp"
#include "json_values.hpp"
#include "limit.hpp"
#include "model_pattern.hpp"

namespace keystile {
namespace {

constexpr json_int_t kMostCount = 1'000'000'000'000'000;
constexpr std::uint64_t kPicodollarsPerMillionth =
    kPicodollarsPerUsd / 1'000'000;

template <typename T>
struct Word {
    std::string_view name;
    T value;
};

constexpr Word<LimitKind> kKinds[] = {
    {"requests", LimitKind::requests},
    {"tokens", LimitKind::tokens},
    {"usd", LimitKind::usd},
    {"concurrent", LimitKind::concurrent},
};

constexpr Word<LimitPeriod> kPeriods[] = {
    {"minute", LimitPeriod::minute}, {"hour", LimitPeriod::hour},
    {"day", LimitPeriod::day},       {"week", LimitPeriod::week},
    {"month", LimitPeriod::month},
};

// The word, or null.
template <typename T, std::size_t N>
const Word<T> *find_word(const Word<T> (&words)[N],
                         std::string_view name) noexcept {
    auto at = std::find_if(
        words, words + N, [=](const auto &word) { return word.name == name; });
    return at == words + N ? nullptr : at;
}

bool read_count(JsonFileReader &file, std::string_view name,
                const JsonElement &value, Limit &limit) noexcept {
    auto count = json_integer_value(value.json);  // 0 for other types
    if (count < 1 || count > kMostCount) {
        return file.fail(value, {"\"", name,
                                 "\" must be a whole number from "
                                 "1 to 1000000000000000"});
    }
    limit.most = static_cast<std::uint64_t>(count);
    return true;
}

bool read_budget(JsonFileReader &file, const JsonElement &value,
                 Limit &limit) noexcept {
    limit.most = read_usd(value.json).value_or(0) * kPicodollarsPerMillionth;
    return limit.most > 0 ||
           file.fail(value, {"\"usd\" must be a number above 0, up to "
                             "1000000, with 6 decimals at most"});
}

bool read_maximum(JsonFileReader &file, const Word<LimitKind> &kind,
                  const JsonElement &value, Limit &limit) noexcept {
    if (limit.most != 0) {
        return file.fail(value,
                         {"a limit can have only one of \"requests\", "
                          "\"tokens\", \"usd\" and \"concurrent\""},
                         JsonPart::name);
    }
    limit.kind = kind.value;
    return kind.value == LimitKind::usd
               ? read_budget(file, value, limit)
               : read_count(file, kind.name, value, limit);
}

bool read_period(JsonFileReader &file, const JsonElement &value,
                 Limit &limit) noexcept {
    auto word = json_is_string(value.json)
                    ? find_word(kPeriods, text_of(value.json))
                    : nullptr;
    if (word == nullptr) {
        return file.fail(value, {"\"per\" must be \"minute\", \"hour\", "
                                 "\"day\", \"week\" or \"month\""});
    }
    limit.per = word->value;
    return true;
}

// Requires that all members are read.
bool check_members(JsonFileReader &file, const JsonElement &object,
                   const Limit &limit) noexcept {
    if (limit.most == 0) {
        return file.fail(object, {"a limit must have one of \"requests\", "
                                  "\"tokens\", \"usd\" and \"concurrent\""});
    }
    if (limit.kind != LimitKind::concurrent) {
        return file.expect_members(object, {"per"}, " of a limit");
    }
    return limit.per == LimitPeriod::none ||
           file.fail(object, {"a limit with \"concurrent\" cannot have "
                              "\"per\""});
}

bool read_limit(JsonFileReader &file, const JsonElement &object,
                Limit &limit) noexcept {
    if (!json_is_object(object.json)) {
        return file.fail(object, {"a limit must be a JSON object"});
    }
    auto read = [&](std::string_view name, const JsonElement &value) {
        auto kind = find_word(kKinds, name);
        return kind != nullptr   ? read_maximum(file, *kind, value, limit)
               : name == "per"   ? read_period(file, value, limit)
               : name == "model" ? read_model_pattern(file, value, limit.model)
                                 : file.refuse_member(name, value);
    };
    return for_each_member(object, read) && check_members(file, object, limit);
}

// Whether the two would count the same.
bool is_same(const Limit &a, const Limit &b) noexcept {
    return a.kind == b.kind && a.per == b.per &&
           equals_ignoring_case(a.model, b.model);
}

// Whether the limit is for one model, and that is none of `models`.
bool has_no_effect(const Limit &limit,
                   std::span<const std::string_view> models) noexcept {
    return !limit.model.empty() &&
           limit.model.find('*') == std::string_view::npos &&
           std::none_of(models.begin(), models.end(), [&](auto pattern) {
               return model_matches(pattern, limit.model);
           });
}

}  // namespace

bool read_models(JsonFileReader &file, const JsonElement &list,
                 Client &client) noexcept {
    std::span<std::string_view> models;
    DistinctPatterns patterns;
    auto read = [&](std::size_t i, const JsonElement &value) {
        return patterns.read(file, value, models[i]);
    };
    if (!file.expect_list(list, "models") ||
        !file.allocate(json_array_size(list.json), models) ||
        !for_each_item(list, read)) {
        return false;
    }
    client.models = models;
    return true;
}

bool read_limits(JsonFileReader &file, const JsonElement &list,
                 Client &client) noexcept {
    static_assert(kMostLimits == 16);

    std::span<Limit> limits;
    auto read = [&](std::size_t i, const JsonElement &object) {
        auto earlier = limits.first(i);
        auto is_like = [&](const Limit &l) { return is_same(l, limits[i]); };
        return read_limit(file, object, limits[i]) &&
               (std::none_of(earlier.begin(), earlier.end(), is_like) ||
                file.fail(object, {"two limits cannot have the same kind, "
                                   "period and model"}));
    };
    if (!file.expect_list(list, "limits")) {
        return false;
    }
    if (json_array_size(list.json) > kMostLimits) {
        return file.fail(list, {"\"limits\" must hold 16 limits at most"});
    }
    if (!file.allocate(json_array_size(list.json), limits) ||
        !for_each_item(list, read)) {
        return false;
    }
    client.limits = limits;
    return true;
}

bool check_limits(JsonFileReader &file, const JsonElement &object,
                  const Client &client) noexcept {
    if (client.models.empty() || client.limits.empty()) {
        return true;
    }
    auto check_model = [&](std::string_view name, const JsonElement &value) {
        return name != "model" ||
               file.fail(value, {"the limit can have no effect: the model is "
                                 "none of \"models\""});
    };
    auto check = [&](std::size_t i, const JsonElement &limit) {
        return !has_no_effect(client.limits[i], client.models) ||
               for_each_member(limit, check_model);
    };
    return for_each_member(
        object, [&](std::string_view name, const JsonElement &value) {
            return name != "limits" || for_each_item(value, check);
        });
}

}  // namespace keystile
