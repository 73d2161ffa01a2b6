// Any header block: only a line of exactly the right name, with exactly the
// right key, lets a request in.

#include "key_header.hpp"

#include <array>
#include <string>

#include "admission.hpp"
#include "ascii.hpp"
#include "check.hpp"

namespace keystile {
namespace {

constexpr std::string_view kGoodKey = "sk-fuzz";
constexpr std::array<std::string_view, 2> kKeyHeaders{"authorization",
                                                      "x-api-key"};

// One client, with that key.
struct Location {
    Location() {
        Sha256Digest digest{};
        check(sha256.digest(kGoodKey, digest), "a digest is made");
        insert_client_key(slots, digest, 0);
        policy.rules = rules;
        policy.key_headers = kKeyHeaders;
        policy.client_sets = sets;
    }

    Sha256 sha256 = *Sha256::create();
    std::array<std::string_view, 2> words{"POST", "/"};
    std::array<Rule, 1> rules{*parse_rule(words)};
    std::array<Client, 1> clients{};
    std::array<ClientKeySlot, 4> slots{};
    ClientSet set{"set", {clients, slots}};
    std::array<const ClientSet *, 1> sets{&set};
    Policy policy;
};

void check_key(std::string_view name, std::string_view value) {
    auto key = read_key_header(name, value);
    check(key.size() <= kLongestKey, "a key is no longer than allowed");
    for (char c : key) {
        check(c > 0x20 && c < 0x7F, "a key is printable, without spaces");
    }
    if (key.empty()) {
        return;
    }
    check(key.data() >= value.data() &&
              key.data() + key.size() <= value.data() + value.size(),
          "a key is a part of the value");
    check(trim(value).ends_with(key), "a key is the end of the value");
    if (equals_ignoring_case(name, "authorization")) {
        check(equals_ignoring_case(trim(value).substr(0, 6), "bearer"),
              "Authorization needs the scheme Bearer");
    }
}

void check_block(std::string_view block) {
    static Location location;
    CallerHeaders headers{kKeyHeaders};
    std::array<int, 2> lines{};
    bool has_good_key = false;

    for_each_header(block, [&](std::string_view name, std::string_view value) {
        headers.see(name, value);
        check_key(name, value);
        for (std::size_t i = 0; i < kKeyHeaders.size(); i++) {
            if (equals_ignoring_case(name, kKeyHeaders[i])) {
                lines[i]++;
                has_good_key = has_good_key || trim(value).ends_with(kGoodKey);
            }
        }
    });

    auto decision = decide(location.policy,
                           {.method = "POST",
                            .target = "/",
                            .headers = headers,
                            .peer = {},
                            .now = 0,
                            .can_upgrade = true,
                            .has_body = true},
                           location.sha256);
    bool doubled = lines[0] > 1 || lines[1] > 1;
    check(headers.has_doubled_key_header() == doubled,
          "a doubled key header is seen");
    if (decision) {
        check(has_good_key && !doubled, "nobody gets in without the key");
        return;
    }
    check(decision.error().denial != Denial::duplicate_key_header || doubled,
          "a refusal gives the true reason");
}

}  // namespace
}  // namespace keystile

int LLVMFuzzerTestOneInput(const std::uint8_t *bytes, std::size_t size) {
    keystile::check_block(text_of(bytes, size));
    return 0;
}
