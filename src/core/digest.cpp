// The functions below are deprecated, but not gone: see Sha256::digest().
#define OPENSSL_SUPPRESS_DEPRECATED

#include "digest.hpp"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <bit>

#include "ascii.hpp"

namespace keystile {

std::optional<Sha256Digest> parse_sha256(std::string_view text) noexcept {
    constexpr std::string_view label = "sha256:";

    Sha256Digest digest;
    if (!text.starts_with(label) ||
        text.size() != label.size() + 2 * digest.size()) {
        return std::nullopt;
    }
    text.remove_prefix(label.size());
    for (auto &byte : digest) {
        auto high = hex_value(text[0]);
        auto low = hex_value(text[1]);
        if (high < 0 || low < 0) {
            return std::nullopt;
        }
        byte = static_cast<std::uint8_t>(high << 4 | low);
        text.remove_prefix(2);
    }
    return digest;
}

std::optional<Sha256> Sha256::create() noexcept {
    // FIPS 180-2, appendix B.1.
    constexpr std::string_view text = "abc";
    constexpr std::string_view answer =
        "sha256:"
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    Sha256 sha256;
    Sha256Digest digest;
    if (!sha256.digest(text, digest) || parse_sha256(answer) != digest) {
        return std::nullopt;
    }
    return sha256;
}

// Not EVP: in OpenSSL 3.0 each EVP_DigestInit_ex2() releases and allocates the
// state anew, even for the algorithm that a context has already, which costs
// half as much again as a digest of one block. SHA256_Final() zeroes the copy
// of an unfinished block that the context holds.
bool Sha256::digest(std::string_view text, Sha256Digest &digest) noexcept {
    SHA256_CTX context;
    return SHA256_Init(&context) == 1 &&
           SHA256_Update(&context, text.data(), text.size()) == 1 &&
           SHA256_Final(digest.data(), &context) == 1;
}

// All words are looked at, and nothing is decided before the last: as
// CRYPTO_memcmp(), which goes byte by byte.
bool equal_in_constant_time(const Sha256Digest &a,
                            const Sha256Digest &b) noexcept {
    using Words = std::array<std::uint64_t, 4>;
    auto x = std::bit_cast<Words>(a);
    auto y = std::bit_cast<Words>(b);
    auto difference =
        (x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]);
    return difference == 0;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() &&
           CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace keystile
