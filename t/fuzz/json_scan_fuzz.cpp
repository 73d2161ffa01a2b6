// Any text: what is found in it does not depend on how it is cut, nor on what
// was read before, and what another parser takes for JSON is read to its end,
// with the same numbers. Whether it is JSON to the letter is what two others
// say.

#include "json_scan.hpp"

#include <jansson.h>

#include <algorithm>
#include <string>

#include "check.hpp"
#include "heap_text.hpp"
#include "json_check.hpp"
#include "pieces.hpp"

namespace keystile {
namespace {

constexpr std::array<JsonMember, 2> kInnerMembers{{{"n", 3}, {"model", 4}}};
constexpr JsonShape kInner{kInnerMembers};
constexpr std::array<JsonMember, 4> kMembers{{
    {"n", 1},
    {"model", 2},
    {"in", 5, &kInner},
    {"list", 0, nullptr, &kInner},
}};
constexpr JsonShape kShape{kMembers};

struct Found {
    std::string values;
    bool is_closed;
    bool is_malformed;

    bool operator==(const Found &) const = default;
};

// By a scan that had read something else, which was cut off.
Found find(std::string_view text, std::size_t longest,
           std::string_view before = {}) {
    JsonScan scan{kShape};
    while (scan.next(before)) {
    }
    scan.start();
    std::string values;
    in_pieces(text, longest, [&](std::string_view piece) {
        while (auto value = scan.next(piece)) {
            check(value->field >= 1 && value->field <= 5, "fields are ours");
            check(value->text.size() <= JsonText::kRoom, "text is short");
            values += std::to_string(value->field) + ":" +
                      std::to_string(static_cast<int>(value->kind)) + ":" +
                      std::to_string(value->count) + ":" +
                      std::string{value->text} + ";";
        }
        check(piece.empty(), "all of a piece is read");
    });
    return {values, scan.is_closed(), scan.is_malformed()};
}

// What must be there of one object: the whole numbers, and the models.
std::string expected(const json_t *object, int number, int model) {
    std::string values;
    const auto *n = json_object_get(object, "n");
    if (json_is_integer(n) && json_integer_value(n) > 0) {
        values += std::to_string(number) +
                  ":2:" + std::to_string(json_integer_value(n)) + ":;";
    }
    const auto *m = json_object_get(object, "model");
    if (json_is_string(m) && json_string_length(m) <= JsonText::kRoom) {
        values += std::to_string(model) + ":0:0:" +
                  std::string{json_string_value(m), json_string_length(m)} +
                  ";";
    }
    return values;
}

void has_each(const std::string &values, const std::string &wanted) {
    for (std::size_t at = 0, end; at < wanted.size(); at = end + 1) {
        end = std::min(wanted.find(';', at), wanted.size() - 1);
        check(values.find(wanted.substr(at, end - at)) != std::string::npos,
              "another parser finds nothing else");
    }
}

// It takes a zero byte for the end of a buffer, and passes over it.
void check_against_parser(std::string_view text, const Found &found) {
    if (text.find('\0') != text.npos) {
        return;
    }
    auto *json = json_loadb(text.data(), text.size(),
                            JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, nullptr);
    if (json == nullptr) {
        return;
    }
    check(found.is_closed && !found.is_malformed, "JSON is read to its end");
    if (json_is_object(json)) {
        has_each(found.values, expected(json, 1, 2));
        has_each(found.values, expected(json_object_get(json, "in"), 3, 4));
        std::size_t i;
        json_t *element;
        json_array_foreach(json_object_get(json, "list"), i, element) {
            has_each(found.values, expected(element, 3, 4));
        }
    }
    json_decref(json);
}

bool is_strict(std::string_view text, std::size_t longest,
               std::string_view before) {
    JsonCheck strict;
    strict.take(before);
    strict.start();
    in_pieces(text, longest, [&](std::string_view piece) {
        bool was_bad = strict.is_bad();
        strict.take(piece);
        check(!was_bad || strict.is_bad(), "what is bad stays so");
    });
    check(!strict.is_valid() || !strict.is_bad(), "it is one or the other");
    return strict.is_valid();
}

// Of what is JSON, it refuses numbers beyond a double, halves of surrogate
// pairs, and names with a zero byte.
bool is_its_own_refusal(const json_error_t &error) {
    return json_error_code(&error) == json_error_numeric_overflow ||
           json_error_code(&error) == json_error_null_byte_in_key ||
           std::string_view{error.text}.starts_with("invalid Unicode");
}

void check_strictness(std::string_view text, bool is_valid) {
    HeapText compact;
    check(put_compact_json(text, compact) == is_valid,
          "a slower reader says the same");
    if (text.find('\0') != text.npos) {
        return;
    }
    json_error_t error;
    auto *json = json_loadb(
        text.data(), text.size(),
        JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, &error);
    auto brackets = std::count(text.begin(), text.end(), '[') +
                    std::count(text.begin(), text.end(), '{');
    bool may_be_deep = static_cast<std::size_t>(brackets) > kDeepestJson;
    check(json == nullptr || is_valid || may_be_deep,
          "what another parser takes is JSON");
    check(json != nullptr || !is_valid || is_its_own_refusal(error),
          "what is JSON, another parser takes");
    json_decref(json);
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    auto text = text_of(bytes, size);
    auto whole = keystile::find(text, size + 1);
    for (std::size_t longest : {1U, 2U, 7U, 50U}) {
        check(keystile::find(text, longest) == whole, "cuts do not matter");
    }
    for (std::size_t cut = 0; cut < size; cut += 1 + size / 16) {
        check(keystile::find(text, size + 1, text.substr(0, cut)) == whole,
              "nothing stays from before");
    }
    keystile::check_against_parser(text, whole);
    bool is_valid = keystile::is_strict(text, size + 1, {});
    for (std::size_t longest : {1U, 7U, 50U}) {
        check(keystile::is_strict(text, longest, text.substr(0, size / 2)) ==
                  is_valid,
              "cuts do not matter");
    }
    auto first = text.find_first_not_of(" \t\r\n");
    if (is_valid && (text[first] == '{' || text[first] == '[')) {
        check(whole.is_closed && !whole.is_malformed,
              "what is JSON is read to its end");
    }
    keystile::check_strictness(text, is_valid);
    return 0;
}
