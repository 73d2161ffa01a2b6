// As in digest.cpp: EVP would take its state from the heap.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "running_digest.hpp"

#include <openssl/sha.h>

#include <new>

namespace keystile {
namespace {

SHA256_CTX *context(void *state) noexcept {
    return static_cast<SHA256_CTX *>(state);
}

}  // namespace

// The state is bytes in the header: OpenSSL's types stay out of it.
RunningDigest::RunningDigest() noexcept {
    static_assert(sizeof(SHA256_CTX) <= sizeof(state_) &&
                  alignof(SHA256_CTX) <= 8);
    works_ = SHA256_Init(new (state_.data()) SHA256_CTX) == 1;
}

void RunningDigest::take(std::string_view piece) noexcept {
    works_ = works_ && SHA256_Update(context(state_.data()), piece.data(),
                                     piece.size()) == 1;
}

std::optional<Sha256Digest> RunningDigest::end() noexcept {
    Sha256Digest digest;
    bool worked =
        works_ && SHA256_Final(digest.data(), context(state_.data())) == 1;
    works_ = SHA256_Init(context(state_.data())) == 1;
    return worked ? std::optional{digest} : std::nullopt;
}

}  // namespace keystile
