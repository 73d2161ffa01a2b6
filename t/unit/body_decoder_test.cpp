#include "body_decoder.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "compressed.hpp"
#include "pieces.hpp"

namespace keystile {
namespace {

constexpr std::uint64_t kMost = 1U << 20U;

const std::string kText =
    R"({"model":"gpt-5","input":[{"role":"user","content":"say say say"}]})";

struct Outcome {
    std::string text;
    bool is_complete;
    bool is_too_large;
};

Outcome decode(std::string_view codings, std::string_view body,
               std::uint64_t most = kMost, std::size_t size = kMost) {
    BodyDecoder decoder{most};
    EXPECT_TRUE(decoder.add(codings)) << codings;
    Outcome outcome{};
    in_pieces(body, size, [&](std::string_view piece) {
        decoder.take(piece, [&](std::string_view part) {
            EXPECT_FALSE(part.empty());
            outcome.text += part;
            return true;
        });
    });
    outcome.is_complete = decoder.is_complete();
    outcome.is_too_large = decoder.is_too_large();
    return outcome;
}

bool is_refused(std::string_view codings, std::string_view body) {
    auto outcome = decode(codings, body);
    return !outcome.is_complete && !outcome.is_too_large;
}

struct Coded {
    const char *codings;
    std::string body;
};

std::vector<Coded> coded(std::string_view text) {
    auto half = text.size() / 2;
    return {
        {"", std::string{text}},
        {"gzip", gzipped(text)},
        {"gzip", gzipped(text.substr(0, half)) + gzipped("") +
                     gzipped(text.substr(half))},
        {"deflate", zlibbed(text)},
        {"deflate", bare_deflated(text)},
        {"zstd", zstd_stream(text)},
        {"zstd", zstd_whole(text)},
        {"zstd", zstd_stream(text, 23)},
        {"zstd", zstd_raw(text.substr(0, half)) +
                     std::string{"\x5F\x2A\x4D\x18\2\0\0\0xx", 10} +
                     zstd_stream(text.substr(half))},
        {"gzip, zstd", zstd_stream(gzipped(text))},
        {"zstd, gzip", gzipped(zstd_stream(text))},
        {"zstd, gzip, deflate", zlibbed(gzipped(zstd_stream(text)))},
    };
}

TEST(BodyDecoder, HoweverItIsCut) {
    for (const auto &[codings, body] : coded(kText)) {
        for_each_cut(body, [&, c = codings](auto read) {
            BodyDecoder decoder{kText.size() + 1000};
            ASSERT_TRUE(decoder.add(c));
            std::string text;
            read([&](std::string_view piece) {
                EXPECT_TRUE(decoder.take(piece, [&](std::string_view part) {
                    text += part;
                    return true;
                }));
            });
            EXPECT_TRUE(decoder.is_complete()) << c;
            EXPECT_EQ(text, kText) << c;
        });
    }
}

TEST(BodyDecoder, WhatIsMuchLargerThanItsBuffers) {
    std::string text;
    std::minstd_rand random{1};
    while (text.size() < 300'000) {
        text += std::string(random() % 300, static_cast<char>(random() % 256));
        text += static_cast<char>(random() % 256);
    }
    for (const auto &[codings, body] : coded(text.substr(0, 254))) {
        EXPECT_EQ(decode(codings, body).text, text.substr(0, 254));
    }
    for (std::size_t size : {kMost, std::uint64_t{1000}, std::uint64_t{1}}) {
        for (const auto &[codings, body] :
             {Coded{"gzip", gzipped(text)},
              {"zstd", zstd_stream(text)},
              {"deflate", bare_deflated(text)},
              {"zstd", zstd_whole(text)},
              {"zstd, gzip", gzipped(zstd_stream(text))}}) {
            auto outcome = decode(codings, body, kMost, size);
            EXPECT_TRUE(outcome.is_complete) << codings;
            EXPECT_TRUE(outcome.text == text) << codings;
        }
    }
}

// The last byte of a stream may stand for more than there is room for.
TEST(BodyDecoder, WhatIsLeftWhenTheInputIsOver) {
    for (std::size_t size = 0; size < 2000; size += 40) {
        std::string text(16'384 + size, 'a');
        for (const auto &[codings, body] :
             {Coded{"deflate", bare_deflated(text)},
              {"zstd", zstd_stream(text)}}) {
            auto outcome = decode(codings, body);
            EXPECT_TRUE(outcome.is_complete) << codings << size;
            EXPECT_TRUE(outcome.text == text) << codings << size;
        }
    }
}

// The first byte could be of the zlib format, but not the first two.
TEST(BodyDecoder, BareDeflateThatBeginsLikeZlib) {
    auto body = std::string{"\x78\5\0\xFA\xFFhello\3\0", 12};
    EXPECT_EQ(decode("deflate", body).text, "hello");
    EXPECT_TRUE(decode("deflate", body).is_complete);
}

TEST(BodyDecoder, OnlyAWholeBodyIsComplete) {
    for (const auto &[codings, body] : coded(kText)) {
        if (*codings == '\0') {
            continue;
        }
        for (std::size_t size = 0; size < body.size(); size++) {
            auto outcome = decode(codings, body.substr(0, size));
            // The first of several streams may be the only one.
            EXPECT_TRUE(!outcome.is_complete || outcome.text != kText)
                << codings << size;
            EXPECT_FALSE(outcome.is_too_large);
        }
        for (auto garbage : {std::string{"x"}, std::string(1, '\0'),
                             std::string{"\x1F"}, body.substr(0, 3)}) {
            EXPECT_TRUE(is_refused(codings, body + garbage)) << codings;
        }
    }
    EXPECT_TRUE(decode("", "").is_complete);
    EXPECT_TRUE(decode("zstd", zstd_stream("")).is_complete);
    EXPECT_TRUE(decode("gzip", gzipped("")).is_complete);
    EXPECT_TRUE(decode("deflate", bare_deflated("")).is_complete);
}

TEST(BodyDecoder, ATruncatedStreamIsNotComplete) {
    for (const auto &[codings, body] :
         {Coded{"gzip", gzipped(kText)},
          {"deflate", zlibbed(kText)},
          {"deflate", bare_deflated(kText)},
          {"zstd", zstd_stream(kText)},
          {"zstd", zstd_whole(kText)},
          {"zstd", zstd_raw(kText)},
          {"gzip, zstd", zstd_stream(gzipped(kText))},
          {"gzip, zstd", zstd_stream(gzipped(kText).substr(0, 40))},
          {"zstd, gzip", gzipped(zstd_stream(kText))},
          {"zstd, gzip", gzipped(zstd_stream(kText).substr(0, 40))}}) {
        for (std::size_t size = 0; size < body.size(); size++) {
            EXPECT_TRUE(is_refused(codings, body.substr(0, size)))
                << codings << size;
        }
    }
    EXPECT_TRUE(is_refused("gzip, zstd", zstd_stream("")));
    EXPECT_TRUE(
        is_refused("gzip, zstd", zstd_stream(gzipped(kText).substr(0, 40))));
}

TEST(BodyDecoder, BytesThatAreBroken) {
    for (auto codings : {"gzip", "zstd", "deflate", "gzip, zstd"}) {
        EXPECT_TRUE(is_refused(codings, kText)) << codings;
    }
    EXPECT_TRUE(is_refused("gzip", zlibbed(kText)));
    EXPECT_TRUE(is_refused("gzip", zstd_stream(kText)));
    EXPECT_TRUE(is_refused("deflate", gzipped(kText)));
    EXPECT_TRUE(is_refused("deflate", zlibbed(kText) + zlibbed(kText)));
    // The checksum at the end of each.
    for (auto [codings, body] : {Coded{"gzip", gzipped(kText)},
                                 {"deflate", zlibbed(kText)},
                                 {"zstd", zstd_stream(kText)}}) {
        body.back() ^= 1;
        EXPECT_TRUE(is_refused(codings, body)) << codings;
    }
}

// The library may know the formats of its youth, which are no content coding.
TEST(BodyDecoder, ZstdOlderThanItsStandard) {
    std::string zstd_0_7{"\x27\xB5\x2F\xFD\x20\3\x40\0\3abc\xC0\0\0", 15};
    EXPECT_TRUE(is_refused("zstd", zstd_0_7));
    EXPECT_TRUE(is_refused("zstd", zstd_raw(kText) + zstd_0_7));
}

TEST(BodyDecoder, Codings) {
    for (auto plain : {"", "identity", "Identity, identity", " , "}) {
        BodyDecoder decoder{kMost};
        EXPECT_TRUE(decoder.add(plain));
        EXPECT_TRUE(decoder.is_plain()) << plain;
    }
    for (auto unknown : {"br", "compress", "x-zstd", "gzip;q=1", "gzip zstd",
                         "gzip, br", "zstd, zstd, gzip, gzip"}) {
        BodyDecoder decoder{kMost};
        EXPECT_FALSE(decoder.add(unknown)) << unknown;
        EXPECT_FALSE(decoder.take("{}", [](std::string_view) {
            ADD_FAILURE();
            return true;
        }));
        EXPECT_FALSE(decoder.is_complete());
    }
    for (auto gzip : {"x-gzip", "GZip", "identity,gzip,identity"}) {
        EXPECT_EQ(decode(gzip, gzipped(kText)).text, kText) << gzip;
    }
    // The order is that in which they were applied.
    EXPECT_TRUE(is_refused("gzip, zstd", gzipped(zstd_stream(kText))));
}

TEST(BodyDecoder, SeveralLinesAreOneList) {
    BodyDecoder decoder{kMost};
    EXPECT_TRUE(decoder.add("deflate, identity"));
    EXPECT_TRUE(decoder.add("zstd"));
    EXPECT_TRUE(decoder.add("gzip"));
    EXPECT_FALSE(decoder.is_plain());
    std::string text;
    EXPECT_TRUE(decoder.take(gzipped(zstd_stream(zlibbed(kText))),
                             [&](std::string_view part) {
                                 text += part;
                                 return true;
                             }));
    EXPECT_TRUE(decoder.is_complete());
    EXPECT_EQ(text, kText);
    EXPECT_FALSE(decoder.add("gzip"));
}

TEST(BodyDecoder, ExactlyAsMuchAsIsAllowed) {
    for (const auto &[codings, body] : coded(kText)) {
        if (std::string_view{codings}.find(',') != std::string_view::npos) {
            continue;
        }
        EXPECT_TRUE(decode(codings, body, kText.size()).is_complete);
        auto outcome = decode(codings, body, kText.size() - 1);
        EXPECT_FALSE(outcome.is_complete) << codings;
        EXPECT_TRUE(outcome.is_too_large) << codings;
        EXPECT_LT(outcome.text.size(), kText.size()) << codings;
    }
}

TEST(BodyDecoder, Bombs) {
    auto bomb = zstd_stream("", 21, std::size_t{1} << 30U);
    ASSERT_LT(bomb.size(), 200'000U);
    auto outcome = decode("zstd", bomb);
    EXPECT_TRUE(outcome.is_too_large);
    EXPECT_FALSE(outcome.is_complete);
    EXPECT_LE(outcome.text.size(), kMost);

    // No layer yields more, even if nothing comes of it: these are skipped.
    std::string skipped{"\x50\x2A\x4D\x18\0\0\x20\0", 8};
    skipped.resize(skipped.size() + (std::size_t{2} << 20U));
    EXPECT_TRUE(decode("zstd", skipped).is_complete);
    EXPECT_TRUE(decode("zstd, gzip", gzipped(skipped)).is_too_large);
    EXPECT_TRUE(decode("", skipped).is_too_large);
}

// Bytes that came out until it was refused; 0 if it was not.
std::uint64_t blown_up(std::string_view codings, std::string_view body) {
    BodyDecoder decoder{std::uint64_t{128} << 20U};
    EXPECT_TRUE(decoder.add(codings));
    std::uint64_t size = 0;
    in_pieces(body, 16384, [&](std::string_view piece) {
        decoder.take(piece, [&size](std::string_view part) {
            size += part.size();
            return true;
        });
    });
    EXPECT_EQ(decoder.unpacked() >= size, !codings.empty());
    return decoder.is_too_large() ? size : 0;
}

// What carries nothing is not sent for it: frames to be skipped, of which one
// may be as large as the rest is small, and empty members of gzip.
TEST(BodyDecoder, BombsWithMuchAroundThem) {
    constexpr std::size_t many = 30'000'000;
    constexpr std::size_t some = BodyDecoder::kHeadStart + 32768;
    const std::string bomb = zstd_stream("x", 21, many);
    std::string noise(1'300'000, '\0');
    std::minstd_rand random{1};
    for (char &byte : noise) {
        byte = static_cast<char>(random() >> 8U);
    }
    std::string skipped{"\x50\x2A\x4D\x18", 4};
    for (unsigned shift : {0U, 8U, 16U, 24U}) {
        skipped += static_cast<char>(noise.size() >> shift);
    }
    skipped += noise;
    std::string empty;
    for (int i = 0; i < 20'000; i++) {
        empty += gzipped("");
    }
    const std::string zeros(many, '\0');
    for (auto [codings, body] : {std::pair{"zstd", bomb},
                                 {"zstd", skipped + bomb},
                                 {"zstd", bomb + skipped},
                                 {"zstd, gzip", gzipped(skipped + bomb)},
                                 {"gzip", empty + gzipped(zeros)}}) {
        auto size = blown_up(codings, body);
        EXPECT_GT(size, 0U) << codings;
        EXPECT_LE(size, some) << codings;
    }
    // What is large, and packs well enough.
    EXPECT_EQ(blown_up("zstd", zstd_stream(noise, 21, some)), 0U);
    EXPECT_EQ(blown_up("", zeros), 0U);
}

TEST(BodyDecoder, AnErrorIsForGood) {
    BodyDecoder decoder{kMost};
    ASSERT_TRUE(decoder.add("gzip"));
    auto ignore = [](std::string_view) { return true; };
    EXPECT_FALSE(decoder.take("x!", ignore));
    EXPECT_FALSE(decoder.take(gzipped(kText), ignore));
    EXPECT_FALSE(decoder.take("", ignore));
    EXPECT_FALSE(decoder.is_complete());
}

TEST(BodyDecoder, TheWindowOfZstd) {
    EXPECT_TRUE(decode("zstd", zstd_stream(kText, 23)).is_complete);
    EXPECT_TRUE(is_refused("zstd", zstd_stream(kText, 24)));
    EXPECT_TRUE(is_refused("zstd", zstd_stream(kText, 27)));

    // Frames that say how little they hold, 300 bytes: windows of 8 and 16 MB.
    std::string frame{"\x28\xB5\x2F\xFD\x40\x68\x2C\0\x63\x09\0a", 12};
    EXPECT_EQ(decode("zstd", frame).text, std::string(300, 'a'));
    frame[5] = 0x70;
    EXPECT_TRUE(is_refused("zstd", frame));
}

// In the library, a header whose end comes in another piece than its beginning
// is taken for the beginning of a frame. The end of this one, and what follows,
// are a frame that is to be skipped.
TEST(BodyDecoder, AHeaderThatEndsLikeAnother) {
    std::string frame{"\x28\xB5\x2F\xFD\x50\x2A\x4D\x18", 8};  // 6477 bytes
    frame += std::string{"\x50\0\0", 3} + std::string(10, '\0');
    frame += std::string{"\x40\x06\0", 3} + std::string(200, 'b');
    frame += std::string{"\xDB\xC3\0c", 4};
    auto text =
        std::string(10, '\0') + std::string(200, 'b') + std::string(6267, 'c');
    for (std::size_t size = 0; size < 12; size++) {
        BodyDecoder decoder{kMost};
        ASSERT_TRUE(decoder.add("zstd"));
        std::string decoded;
        for (auto piece : {frame.substr(0, size), frame.substr(size)}) {
            EXPECT_TRUE(decoder.take(piece, [&](std::string_view part) {
                decoded += part;
                return true;
            }));
        }
        EXPECT_TRUE(decoder.is_complete()) << size;
        EXPECT_TRUE(decoded == text) << size;
    }
}

TEST(BodyDecoder, ManyEmptyPieces) {
    BodyDecoder decoder{kMost};
    ASSERT_TRUE(decoder.add("zstd"));
    auto ignore = [](std::string_view) { return true; };
    for (char c : zstd_stream(kText)) {
        for (int i = 0; i < 40; i++) {
            ASSERT_TRUE(decoder.take("", ignore));
        }
        ASSERT_TRUE(decoder.take({&c, 1}, ignore));
    }
    EXPECT_TRUE(decoder.is_complete());
}

TEST(BodyDecoder, WhoeverHasSeenEnough) {
    for (auto [codings, body] :
         {Coded{"", kText}, {"gzip, zstd", zstd_stream(gzipped(kText))}}) {
        BodyDecoder decoder{kMost};
        ASSERT_TRUE(decoder.add(codings));
        int parts = 0;
        auto look = [&parts](std::string_view) {
            parts++;
            return false;
        };
        EXPECT_TRUE(decoder.take(body, look));
        EXPECT_TRUE(decoder.take("not looked at", look));
        EXPECT_EQ(parts, 1);
        EXPECT_FALSE(decoder.is_complete());
        EXPECT_FALSE(decoder.is_too_large());
    }
}

}  // namespace
}  // namespace keystile
