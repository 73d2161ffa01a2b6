// Any bytes as a client-key file: a result that holds together, or an error
// that says where and tells no secret, in bounded memory either way.

#include "client_file.hpp"

#include <set>

#include "check.hpp"
#include "json_file_check.hpp"
#include "model_pattern.hpp"

namespace keystile {
namespace {

void check_client(const Client &client) {
    check(!client.id.empty() && client.id.size() <= 128, "an id has a length");
    for (char c : client.id) {
        check(std::isalnum(static_cast<unsigned char>(c)) ||
                  std::string_view{"._@-"}.find(c) != std::string_view::npos,
              "an id needs no escaping");
    }
    for (const auto &range : client.from) {
        check(range.prefix <= 128 &&
                  range.contains(range.network) ==
                      (range.prefix >= 96 || !range.network.is_ipv4()),
              "a range holds its own address");
    }
    for (const auto &rule : client.allow) {
        check(!rule.methods.empty() && rule.path.starts_with('/'),
              "a rule has methods and a path");
        check(rule.to_path.empty() && rule.query.empty() && !rule.any_query,
              "a rule leaves the rest to the location");
    }
    for (auto pattern : client.models) {
        check(is_model_pattern(pattern), "models are patterns");
    }
    check(client.limits.size() <= kMostLimits, "limits are few");
    for (const auto &limit : client.limits) {
        check(limit.most > 0, "a limit leaves something");
        check((limit.kind == LimitKind::concurrent) ==
                  (limit.per == LimitPeriod::none),
              "a limit has a period or needs none");
        check(limit.model.empty() || is_model_pattern(limit.model),
              "the model of a limit is a pattern");
    }
}

void check_keys(const ClientKeys &keys) {
    std::set<std::string_view> ids;
    check(!keys.clients.empty(), "a file without clients is refused");
    for (const auto &client : keys.clients) {
        check_client(client);
        check(ids.insert(client.id).second, "ids are unique");
    }

    std::size_t used = 0;
    std::set<std::size_t> owners;
    for (const auto &slot : keys.slots) {
        if (slot.client == 0) {
            continue;
        }
        used++;
        check(slot.client <= keys.clients.size(), "a key has a client");
        owners.insert(slot.client);
        check(keys.find(slot.digest) == &keys.clients[slot.client - 1],
              "each key is found");
    }
    check(2 * used < keys.slots.size(), "the table is half full at most");
    check(owners.size() == keys.clients.size(), "each client has a key");
}

void check_file(std::string_view text) {
    Arena arena{64 * text.size()};
    auto keys = parse_client_file(text, {Arena::allocate, &arena});
    if (keys) {
        check_keys(*keys);
    } else {
        check_error(keys.error(), text);
        check(std::string_view{keys.error().message} != "out of memory",
              "64 bytes for each byte are enough");
    }

    // The same again, when memory ends somewhere on the way.
    Arena small{arena.used / 2};
    auto again = parse_client_file(text, {Arena::allocate, &small});
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
