// Which requests may pass: the rules of keystile_allow and of a client's own
// "allow" list.
//
//     POST /v1/responses
//     GET /v1/responses websocket
//     GET,DELETE /v1/responses/* query=include
//     POST /v1/chat/completions to=/openai/deployments/d/chat?api-version=1
//
// A path is made of literal segments, "*" for exactly one segment and, at the
// end, "/**" for whatever follows the slash. Methods are case-sensitive (RFC
// 9110 9.1), and GET does not imply HEAD.

#pragma once

#include <span>
#include <string_view>

#include "request_target.hpp"
#include "result.hpp"

namespace keystile {

// Views into the words it was parsed from. Immutable, standard layout.
struct Rule {
    std::string_view methods;  // "GET,POST"
    std::string_view path;     // the pattern
    std::string_view query;    // "a,b": parameters that may be sent
    std::string_view to_path;  // empty: forward the path that was sent
    std::string_view to_args;  // fixed arguments, without '?'
    bool any_query = false;
    bool websocket = false;    // this rule is for the upgrade alone
    bool bearer_only = false;  // identity=bearer
};

enum class RuleFault : unsigned char {
    too_few_words,
    bad_method,
    bad_path,
    bad_wildcard,
    unknown_option,
    repeated_option,
    websocket_without_get,
    bad_query_name,
    key_in_query,
    bad_to,
    to_wildcards_differ,
    fixed_argument_allowed,
};

// A sentence that says what was expected.
std::string_view describe(RuleFault fault) noexcept;

struct BadRule {
    RuleFault fault;
    std::string_view word;  // the word that broke it
};

// Requires words that outlive the rule: methods, path, options.
Result<Rule, BadRule> parse_rule(
    std::span<const std::string_view> words) noexcept;

// Whether `methods`, a comma-separated list, holds `method`.
bool has_method(std::string_view methods, std::string_view method) noexcept;

// Whether `path` is of the form `pattern`.
bool path_matches(std::string_view pattern, std::string_view path) noexcept;

// The rules for a path: those of the most specific pattern that matches it.
// Segment by segment from the left, a literal beats "*" beats "/**".
struct RuleMatch {
    std::string_view pattern;         // empty: no rule knows the path
    const Rule *plain = nullptr;      // allows the method
    const Rule *websocket = nullptr;  // allows the upgrade
};
RuleMatch match_rules(std::span<const Rule> rules, std::string_view method,
                      std::string_view path) noexcept;

enum class QueryVerdict : unsigned char { allowed, not_allowed, carries_key };

QueryVerdict check_query(const Rule &rule,
                         const RequestTarget &target) noexcept;

}  // namespace keystile
