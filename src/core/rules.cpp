#include "rules.hpp"

#include <algorithm>

#include "ascii.hpp"
#include "query.hpp"

namespace keystile {
namespace {

// The first segment of `path`, which starts after a slash; `path` moves to
// what follows the next slash. `more` is false at the last segment.
struct Segments {
    std::string_view rest;
    bool more = true;

    explicit Segments(std::string_view path) noexcept : rest{path.substr(1)} {}

    std::string_view next() noexcept {
        auto slash = rest.find('/');
        auto segment = rest.substr(0, slash);
        more = slash != std::string_view::npos;
        rest.remove_prefix(more ? slash + 1 : rest.size());
        return segment;
    }
};

// How exactly a pattern's segment names what it matches.
int exactness(std::string_view segment) noexcept {
    return segment == "**" ? 0 : segment == "*" ? 1 : 2;
}

// Requires two patterns that match one path. Positive when `a` says it more
// exactly than `b`, zero when they are the same pattern.
int compare_exactness(std::string_view a, std::string_view b) noexcept {
    Segments left{a};
    Segments right{b};

    while (left.more && right.more) {
        int difference = exactness(left.next()) - exactness(right.next());
        if (difference != 0) {
            return difference;
        }
    }
    return 0;
}

}  // namespace

bool has_method(std::string_view methods, std::string_view method) noexcept {
    return !for_each_element(methods, ',', [method](std::string_view one) {
        return one != method;
    });
}

bool path_matches(std::string_view pattern, std::string_view path) noexcept {
    Segments want{pattern};
    Segments have{path};

    for (;;) {
        auto expected = want.next();
        if (expected == "**") {
            return true;
        }
        auto sent = have.next();
        if (expected == "*" ? sent.empty() : expected != sent) {
            return false;
        }
        if (!want.more || !have.more) {
            return want.more == have.more;
        }
    }
}

RuleMatch match_rules(std::span<const Rule> rules, std::string_view method,
                      std::string_view path) noexcept {
    RuleMatch best;

    for (const auto &rule : rules) {
        if (!path_matches(rule.path, path)) {
            continue;
        }
        int order = best.pattern.empty()
                        ? 1
                        : compare_exactness(rule.path, best.pattern);
        if (order < 0) {
            continue;
        }
        if (order > 0) {
            best = RuleMatch{.pattern = rule.path};
        }
        auto &slot = rule.websocket ? best.websocket : best.plain;
        if (slot == nullptr && has_method(rule.methods, method)) {
            slot = &rule;
        }
    }
    return best;
}

QueryVerdict check_query(const Rule &rule,
                         const RequestTarget &target) noexcept {
    if (!target.has_query) {
        return QueryVerdict::allowed;
    }

    auto verdict = QueryVerdict::allowed;
    for_each_parameter(target.query, [&](std::string_view name) {
        if (parameter_carries_key(name)) {
            verdict = QueryVerdict::carries_key;
            return false;
        }
        bool listed =
            rule.any_query ||
            !for_each_element(rule.query, ',', [name](std::string_view one) {
                return !parameter_is(name, one);
            });
        bool fixed = !for_each_parameter(
            rule.to_args,
            [name](std::string_view one) { return !parameter_is(name, one); });
        if (!listed || fixed) {
            verdict = QueryVerdict::not_allowed;
        }
        return true;
    });

    if (verdict == QueryVerdict::allowed && !rule.any_query &&
        rule.query.empty()) {
        return QueryVerdict::not_allowed;  // a bare '?'
    }
    return verdict;
}

}  // namespace keystile
