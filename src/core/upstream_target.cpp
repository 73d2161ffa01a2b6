#include "upstream_target.hpp"

#include <algorithm>

namespace keystile {
namespace {

bool lies_under(std::string_view path, std::string_view base) noexcept {
    return path.starts_with(base) &&
           (path.size() == base.size() || path[base.size()] == '/');
}

// The part of `path` that the wildcard at `*pattern` matched. Both views
// begin at a segment and move past it.
std::string_view take_match(std::string_view &pattern,
                            std::string_view &path) noexcept {
    for (;;) {
        auto expected = pattern.substr(0, pattern.find('/'));
        auto sent = path.substr(0, path.find('/'));
        if (expected == "**") {
            return path;
        }
        pattern.remove_prefix(std::min(expected.size() + 1, pattern.size()));
        path.remove_prefix(std::min(sent.size() + 1, path.size()));
        if (expected == "*" || pattern.empty()) {
            return sent;
        }
    }
}

template <typename Sink>
void put_rewritten_path(const Rule &rule, std::string_view path,
                        Sink put) noexcept {
    auto to = rule.to_path;
    auto pattern = rule.path.substr(1);
    path.remove_prefix(1);

    while (!to.empty()) {
        auto star = to.find('*');
        put(to.substr(0, star));
        if (star == std::string_view::npos) {
            return;
        }
        put(take_match(pattern, path));
        to.remove_prefix(star);
        to.remove_prefix(to.starts_with("**") ? 2 : 1);
    }
}

// Hands the target to `put`, piece by piece.
template <typename Sink>
void put_target(const UpstreamTarget &t, Sink put) noexcept {
    bool rewritten = !t.rule->to_path.empty();
    if (!lies_under(rewritten ? t.rule->to_path : t.target.path, t.base)) {
        put(t.base);
    }
    if (rewritten) {
        put_rewritten_path(*t.rule, t.target.path, put);
    } else {
        put(t.target.path);
    }

    if (t.target.has_query) {
        put(std::string_view{"?"});
        put(t.target.query);
    }
    if (!t.rule->to_args.empty()) {
        put(std::string_view{!t.target.has_query      ? "?"
                             : t.target.query.empty() ? ""
                                                      : "&"});
        put(t.rule->to_args);
    }
}

}  // namespace

std::size_t UpstreamTarget::size() const noexcept {
    std::size_t size = 0;
    put_target(*this, [&size](std::string_view s) { size += s.size(); });
    return size;
}

char *UpstreamTarget::write(char *out) const noexcept {
    put_target(*this, [&out](std::string_view s) {
        out = std::copy(s.begin(), s.end(), out);
    });
    return out;
}

}  // namespace keystile
