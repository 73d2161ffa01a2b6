// key_check KNOWN PRESENTED: what keystile does with a presented key, in a
// function of its own, for a tool that counts instructions.
//
// Of two clients the second has the key KNOWN. Prints whether PRESENTED is it.
// check() is keystile's; naive() is what it must not be like, and stops at the
// first byte that differs.

#include <array>
#include <cstddef>
#include <cstdio>
#include <string_view>

#include "core/client_keys.hpp"
#include "core/digest.hpp"

using namespace keystile;

// Sparse, so that no two of the keys of a test meet in a slot.
static std::array<ClientKeySlot, 65536> slots{};
static std::array<Client, 2> clients{{{.id = "first"}, {.id = "second"}}};

extern "C" __attribute__((noinline)) bool check(Sha256 &sha256,
                                                const ClientKeys &keys,
                                                const char *data,
                                                std::size_t size) {
    Sha256Digest digest;
    return sha256.digest({data, size}, digest) && keys.find(digest) != nullptr;
}

extern "C" __attribute__((noinline)) bool naive(const char *key,
                                                const char *data) {
    while (*key != '\0' && *key == *data) {
        key++;
        data++;
    }
    return *key == *data;
}

int main(int argc, char **argv) {
    auto sha256 = Sha256::create();
    if (argc != 3 || !sha256) {
        return 2;
    }
    std::array<std::string_view, 2> known{"sk-test-another-client", argv[1]};
    for (std::size_t i = 0; i < known.size(); i++) {
        Sha256Digest digest;
        if (!sha256->digest(known[i], digest) ||
            insert_client_key(slots, digest, i) != nullptr) {
            return 2;
        }
    }
    ClientKeys keys{clients, slots};
    std::string_view presented{argv[2]};
    // The first call resolves the symbols of OpenSSL.
    volatile bool warm = check(*sha256, keys, "warm", 4);
    (void)warm;
    bool is_known = check(*sha256, keys, presented.data(), presented.size());
    if (is_known != naive(argv[1], argv[2])) {
        return 2;
    }
    std::puts(is_known ? "known" : "unknown");
    return 0;
}
