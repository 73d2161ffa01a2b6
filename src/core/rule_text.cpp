// Reading a rule from its words; see rules.hpp.

#include <algorithm>
#include <optional>

#include "ascii.hpp"
#include "query.hpp"
#include "rules.hpp"

namespace keystile {
namespace {

constexpr std::string_view kQuery = "query=";
constexpr std::string_view kTo = "to=";

std::size_t count_wildcards(std::string_view path) noexcept {
    std::size_t count = 0;
    for_each_element(path, '/', [&count](std::string_view segment) {
        count += segment == "*" || segment == "**";
        return true;
    });
    return count;
}

// A path that a request could have, in which '*' stands only for a whole
// segment, and "**" only at the end.
std::optional<RuleFault> check_pattern(std::string_view path) noexcept {
    auto target = parse_request_target(path);
    if (!target || target->has_query) {
        return RuleFault::bad_path;
    }

    bool ended = false;
    bool whole =
        for_each_element(path, '/', [&ended](std::string_view segment) {
            if (ended) {
                return false;
            }
            ended = segment == "**";
            return ended || segment == "*" ||
                   segment.find('*') == std::string_view::npos;
        });
    if (!whole || path.ends_with("**/")) {
        return RuleFault::bad_wildcard;
    }
    return std::nullopt;
}

std::optional<RuleFault> take_methods(Rule &rule,
                                      std::string_view word) noexcept {
    bool tokens = for_each_element(word, ',', [](std::string_view method) {
        return is_token(method) &&
               std::none_of(method.begin(), method.end(),
                            [](char c) { return c >= 'a' && c <= 'z'; });
    });
    if (!tokens || word.empty() || word.front() == ',' || word.back() == ',') {
        return RuleFault::bad_method;
    }
    rule.methods = word;
    return std::nullopt;
}

std::optional<RuleFault> take_query(Rule &rule,
                                    std::string_view list) noexcept {
    if (list == "*") {
        rule.any_query = true;
        return std::nullopt;
    }
    auto fault = std::optional<RuleFault>{};
    std::size_t names = 0;
    for_each_element(list, ',', [&](std::string_view name) {
        names++;
        if (parameter_carries_key(name)) {
            fault = RuleFault::key_in_query;
        } else if (name == "*") {
            fault = RuleFault::bad_query_name;
        }
        return !fault;
    });
    auto commas =
        static_cast<std::size_t>(std::count(list.begin(), list.end(), ','));
    if (!fault && names != commas + 1) {  // one is empty
        fault = RuleFault::bad_query_name;
    }
    rule.query = list;
    return fault;
}

std::optional<RuleFault> take_to(Rule &rule, std::string_view to) noexcept {
    auto mark = to.find('?');
    rule.to_path = to.substr(0, mark);
    if (mark != std::string_view::npos) {
        rule.to_args = to.substr(mark + 1);
    }
    if (!parse_request_target(to) || check_pattern(rule.to_path) ||
        (mark != std::string_view::npos && rule.to_args.empty())) {
        return RuleFault::bad_to;
    }
    bool keyless = for_each_parameter(rule.to_args, [](std::string_view name) {
        return !parameter_carries_key(name);
    });
    return keyless ? std::nullopt : std::optional{RuleFault::key_in_query};
}

std::optional<RuleFault> take_option(Rule &rule,
                                     std::string_view word) noexcept {
    if (word == "websocket") {
        bool repeated = std::exchange(rule.websocket, true);
        return repeated ? std::optional{RuleFault::repeated_option}
                        : std::nullopt;
    }
    if (word == "identity=bearer") {
        bool repeated = std::exchange(rule.bearer_only, true);
        return repeated ? std::optional{RuleFault::repeated_option}
                        : std::nullopt;
    }
    if (word.starts_with(kQuery)) {
        return rule.any_query || !rule.query.empty()
                   ? std::optional{RuleFault::repeated_option}
                   : take_query(rule, word.substr(kQuery.size()));
    }
    if (word.starts_with(kTo)) {
        return !rule.to_path.empty()
                   ? std::optional{RuleFault::repeated_option}
                   : take_to(rule, word.substr(kTo.size()));
    }
    return RuleFault::unknown_option;
}

// What no single word can tell.
std::optional<RuleFault> check_whole(const Rule &rule) noexcept {
    if (rule.websocket && rule.methods != "GET") {
        return RuleFault::websocket_without_get;
    }
    auto wildcards = count_wildcards(rule.to_path);
    if (wildcards != 0 && wildcards != count_wildcards(rule.path)) {
        return RuleFault::to_wildcards_differ;
    }
    if (rule.to_path.ends_with("/**") && !rule.path.ends_with("/**")) {
        return RuleFault::to_wildcards_differ;
    }
    bool clash =
        !for_each_parameter(rule.to_args, [&rule](std::string_view fixed) {
            return for_each_element(rule.query, ',',
                                    [fixed](std::string_view one) {
                                        return !parameter_is(fixed, one);
                                    });
        });
    return clash ? std::optional{RuleFault::fixed_argument_allowed}
                 : std::nullopt;
}

}  // namespace

std::string_view describe(RuleFault fault) noexcept {
    switch (fault) {
    case RuleFault::too_few_words:
        return "expected methods and a path";
    case RuleFault::bad_method:
        return "expected upper-case methods separated by commas";
    case RuleFault::bad_path:
        return "expected a path as clients send it: it starts with a single "
               "\"/\", holds no \"?\", \"#\", \";\", \"\\\", \"//\", no dot "
               "segments and no needless escapes";
    case RuleFault::bad_wildcard:
        return "\"*\" stands for one whole segment, and \"**\" may only be "
               "the last one";
    case RuleFault::unknown_option:
        return "expected \"websocket\", \"query=\", \"to=\" or "
               "\"identity=bearer\"";
    case RuleFault::repeated_option:
        return "the option is given twice";
    case RuleFault::websocket_without_get:
        return "a WebSocket handshake is a GET request: expected \"GET\" as "
               "the only method";
    case RuleFault::bad_query_name:
        return "expected parameter names separated by commas, or \"*\"";
    case RuleFault::key_in_query:
        return "a parameter of that name carries a key and is never passed";
    case RuleFault::bad_to:
        return "expected \"to=/path\" or \"to=/path?arguments\"";
    case RuleFault::to_wildcards_differ:
        return "\"to=\" must use none or all of the path's wildcards";
    case RuleFault::fixed_argument_allowed:
        return "an argument fixed by \"to=\" must not be allowed in "
               "\"query=\"";
    }
    return "";
}

Result<Rule, BadRule> parse_rule(
    std::span<const std::string_view> words) noexcept {
    if (words.size() < 2) {
        return BadRule{RuleFault::too_few_words,
                       words.empty() ? std::string_view{} : words.front()};
    }

    Rule rule;
    if (auto fault = take_methods(rule, words[0])) {
        return BadRule{*fault, words[0]};
    }
    if (auto fault = check_pattern(words[1])) {
        return BadRule{*fault, words[1]};
    }
    rule.path = words[1];

    for (auto word : words.subspan(2)) {
        if (auto fault = take_option(rule, word)) {
            return BadRule{*fault, word};
        }
    }
    if (auto fault = check_whole(rule)) {
        return BadRule{*fault, words[1]};
    }
    return rule;
}

}  // namespace keystile
