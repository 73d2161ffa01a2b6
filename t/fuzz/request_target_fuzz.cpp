// Any bytes as a request target: what is accepted means the same to everyone,
// however often it is decoded, and so does what is sent upstream.

#include "request_target.hpp"

#include <array>
#include <string>

#include "check.hpp"
#include "query.hpp"
#include "rules.hpp"
#include "upstream_target.hpp"

namespace keystile {
namespace {

std::string decode(std::string_view text) {
    std::string decoded;
    for (std::size_t i = 0; i < text.size(); i++) {
        unsigned byte = 0;
        if (text[i] == '%' && i + 2 < text.size() &&
            std::sscanf(std::string{text.substr(i + 1, 2)}.c_str(), "%2x",
                        &byte) == 1) {
            decoded += static_cast<char>(byte);
            i += 2;
        } else {
            decoded += text[i];
        }
    }
    return decoded;
}

bool has_dot_segment(const std::string &path) {
    auto slashed = path + "/";
    return slashed.find("/../") != std::string::npos ||
           slashed.find("/./") != std::string::npos;
}

void check_path(std::string_view path) {
    check(path.starts_with('/'), "a path begins with a slash");
    for (char c : path) {
        check(c > 0x20 && c < 0x7F && c != '#' && c != '?' && c != '\\' &&
                  c != ';',
              "a path holds no byte that ends it or divides it");
    }
    check(path.find("//") == std::string_view::npos, "no empty segment");

    auto decoded = decode(path);
    check(!has_dot_segment(std::string{path}), "no dot segment");
    check(!has_dot_segment(decoded), "no dot segment once decoded");
    check(decode(decoded) == decoded, "decoding twice changes nothing");

    std::size_t slashes = 0;
    for (char c : path) {
        slashes += c == '/';
    }
    for (char c : decoded) {
        slashes -= c == '/';
        check(c != '\\' && c != ';' && c != 0x7F &&
                  static_cast<unsigned char>(c) >= 0x20,
              "nothing that changes the path comes out of an escape");
    }
    check(slashes == 0, "no slash comes out of an escape");
}

void check_query_names(const RequestTarget &target) {
    std::size_t names = 0;
    for_each_parameter(target.query, [&](std::string_view name) {
        names += name.size();
        auto decoded = decode(name);
        check(decoded != "key" && decoded != "api_key" &&
                      decoded != "apiKey" && decoded != "access_token"
                  ? true
                  : parameter_carries_key(name),
              "a name that carries a key is known, however it is written");
        return true;
    });
    check(names <= target.query.size(), "names are parts of the query");
}

void check_upstream(const Rule &rule, const RequestTarget &target) {
    if (!path_matches(rule.path, target.path)) {
        return;
    }
    for (std::string_view base : {"", "/base"}) {
        UpstreamTarget upstream{base, &rule, target};
        std::string out(upstream.size() + 1, '#');
        auto end = upstream.write(out.data());
        check(end == out.data() + out.size() - 1, "size() is what is written");
        check(out.back() == '#', "nothing is written after it");
        out.pop_back();

        auto sent = parse_request_target(out);
        check(sent.has_value(), "what is sent would be accepted");
        check(base.empty() || sent->path.starts_with("/base"),
              "the base path comes first");
        check(!rule.to_path.empty() || sent->path.ends_with(target.path),
              "a path without to= is sent as it was matched");
    }
}

Rule rule(std::string_view path, std::string_view option) {
    std::array<std::string_view, 3> words{"GET", path, option};
    auto parsed = parse_rule(words);
    check(parsed.has_value(), "the rule is one");
    return *parsed;
}

void check_target(std::string_view raw) {
    auto target = parse_request_target(raw);
    if (!target) {
        check(!describe(target.error()).empty(), "a fault has a sentence");
        return;
    }
    check(target->path.data() == raw.data(), "the path is the one sent");
    auto size = target->path.size() +
                (target->has_query ? 1 + target->query.size() : 0);
    check(size == raw.size(), "path and query are all there is");
    check_path(target->path);
    check_query_names(*target);

    static const std::array rules{
        rule("/**", "query=*"),           rule("/v1/*", "to=/o/*/x"),
        rule("/*/*/c", "to=/*/d/*"),      rule("/v1/**", "to=/o/**?v=1"),
        rule("/*/x/**", "to=/base/*/**"),
    };
    for (const auto &rule : rules) {
        check_upstream(rule, *target);
    }
    auto match = match_rules(rules, "GET", target->path);
    check(match.plain != nullptr && path_matches(match.pattern, target->path),
          "the rule that is chosen matches");
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    keystile::check_target(text_of(bytes, size));
    return 0;
}
