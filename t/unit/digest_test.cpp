#include "digest.hpp"

#include <gtest/gtest.h>
#include <openssl/crypto.h>
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

namespace {

// How often OpenSSL asked for memory.
std::size_t allocations = 0;

void *allocate(std::size_t size, const char *, int) {
    allocations++;
    return std::malloc(size);
}

void *reallocate(void *block, std::size_t size, const char *, int) {
    allocations++;
    return std::realloc(block, size);
}

void release(void *block, const char *, int) { std::free(block); }

// OpenSSL takes this only before it has allocated anything.
const bool is_counting =
    CRYPTO_set_mem_functions(allocate, reallocate, release) == 1;

}  // namespace

namespace keystile {
namespace {

std::string hex(const Sha256Digest &digest) {
    std::string text;
    for (auto byte : digest) {
        char pair[3];
        std::snprintf(pair, sizeof(pair), "%02x", byte);
        text += pair;
    }
    return text;
}

std::string digest_of(Sha256 &sha256, std::string_view text) {
    Sha256Digest digest;
    return sha256.digest(text, digest) ? hex(digest) : "failed";
}

// FIPS 180-4 examples, and the borders of a block: 55 and 56, 63 to 65 bytes.
TEST(Sha256, KnownAnswers) {
    struct {
        std::string text;
        const char *digest;
    } cases[] = {
        {"",
         "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc",
         "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
        {std::string(55, 'a'),
         "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {std::string(56, 'a'),
         "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {std::string(64, 'a'),
         "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
        {std::string(1000000, 'a'),
         "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
    };
    auto sha256 = Sha256::create();
    ASSERT_TRUE(sha256);
    for (const auto &c : cases) {
        EXPECT_EQ(digest_of(*sha256, c.text), c.digest);
    }
    for (const auto &c : cases) {
        EXPECT_EQ(digest_of(*sha256, c.text), c.digest) << "second time";
    }
}

TEST(Sha256, DigestsDoNotAllocate) {
    ASSERT_TRUE(is_counting);
    CRYPTO_free(CRYPTO_strdup("to see that it counts", "", 0), "", 0);
    EXPECT_GT(allocations, 0u);

    auto sha256 = Sha256::create();
    ASSERT_TRUE(sha256);
    auto before = allocations;
    for (std::size_t size = 0; size < 300; size++) {
        digest_of(*sha256, std::string(size, 'k'));
    }
    EXPECT_EQ(allocations, before);
}

// What a function has left below its own frame; above it, the kernel has
// saved registers.
void *frame = nullptr;

// What is left on a stack of our own by a function that ran on it: as the
// handler of a signal, with that stack as its alternate one.
std::string stack_after(void (*run)(int)) {
    static char stack[1 << 18];
    std::memset(stack, 0, sizeof(stack));

    stack_t there{};
    stack_t before{};
    there.ss_sp = stack;
    there.ss_size = sizeof(stack);
    EXPECT_EQ(sigaltstack(&there, &before), 0);
    struct sigaction action {};
    action.sa_handler = run;
    action.sa_flags = SA_ONSTACK;
    EXPECT_EQ(sigaction(SIGUSR1, &action, nullptr), 0);
    EXPECT_EQ(raise(SIGUSR1), 0);
    EXPECT_EQ(sigaltstack(&before, nullptr), 0);
    return {stack, static_cast<char *>(frame)};
}

std::string secret;
bool succeeded = false;

void leave_a_copy(int) {
    frame = __builtin_frame_address(0);
    volatile char copy[64];
    for (std::size_t i = 0; i < sizeof(copy); i++) {
        copy[i] = secret[i];
    }
}

void digest_only(int) {
    frame = __builtin_frame_address(0);
    Sha256Digest digest;
    auto sha256 = Sha256::create();
    succeeded = sha256->digest(secret, digest);
}

TEST(Sha256, NoTextIsLeftBehind) {
    for (std::size_t size : {20u, 55u, 56u, 63u, 64u, 70u, 128u, 150u}) {
        secret = std::string(size, '-');
        secret.replace(0, 7, "sk-head");
        secret.replace(size - 7, 7, "sk-tail");
        auto left = stack_after(digest_only);
        EXPECT_TRUE(std::exchange(succeeded, false));
        EXPECT_EQ(left.find("sk-head"), std::string::npos) << size;
        EXPECT_EQ(left.find("sk-tail"), std::string::npos) << size;
    }

    secret.replace(0, 7, "sk-copy");
    EXPECT_NE(stack_after(leave_a_copy).find("sk-copy"), std::string::npos)
        << "the search finds what is there";
}

TEST(ParseSha256, Forms) {
    const std::string digits =
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    auto upper = digits;
    for (auto &c : upper) {
        c = static_cast<char>(std::toupper(c));
    }
    auto digest = parse_sha256("sha256:" + digits);
    ASSERT_TRUE(digest);
    EXPECT_EQ(hex(*digest), digits);
    EXPECT_EQ(parse_sha256("sha256:" + upper), digest);

    for (const auto &text :
         {std::string{}, std::string{"sha256:"}, digits, "SHA256:" + digits,
          "sha512:" + digits, "sha256: " + digits, "sha256:" + digits + "0",
          "sha256:" + digits.substr(1), "sha256:g" + digits.substr(1),
          "sha256:" + digits.substr(1) + "g",
          "sha256:" + digits.substr(1) + "\0"}) {
        EXPECT_FALSE(parse_sha256(text)) << text;
    }
}

TEST(EqualInConstantTime, Digests) {
    Sha256Digest a{};
    for (std::size_t i = 0; i < a.size(); i++) {
        auto b = a;
        EXPECT_TRUE(equal_in_constant_time(a, b));
        b[i] ^= 0x80;
        EXPECT_FALSE(equal_in_constant_time(a, b));
    }
}

TEST(EqualInConstantTime, Texts) {
    EXPECT_TRUE(equal_in_constant_time("", ""));
    EXPECT_TRUE(equal_in_constant_time("sk-a", "sk-a"));
    EXPECT_FALSE(equal_in_constant_time("sk-a", "sk-b"));
    EXPECT_FALSE(equal_in_constant_time("sk-a", "sk-a "));
    EXPECT_FALSE(equal_in_constant_time("sk-a", ""));
}

}  // namespace
}  // namespace keystile
