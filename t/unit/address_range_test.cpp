#include "address_range.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <string>

namespace keystile {
namespace {

Address address(const char *text) {
    std::array<std::uint8_t, 4> v4;
    if (inet_pton(AF_INET, text, v4.data()) == 1) {
        return Address::from_ipv4(v4);
    }
    Address v6{};
    EXPECT_EQ(inet_pton(AF_INET6, text, v6.bytes.data()), 1) << text;
    return v6;
}

TEST(AddressRange, Contains) {
    struct {
        const char *range;
        const char *address;
        bool contains;
    } cases[] = {
        {"10.0.0.0/8", "10.0.0.0", true},
        {"10.0.0.0/8", "10.255.255.255", true},
        {"10.0.0.0/8", "11.0.0.0", false},
        {"10.0.0.0/8", "9.255.255.255", false},
        {"192.0.2.128/25", "192.0.2.128", true},
        {"192.0.2.128/25", "192.0.2.127", false},
        {"192.0.2.1", "192.0.2.1", true},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1/32", "192.0.2.1", true},
        {"0.0.0.0/0", "255.255.255.255", true},
        {"0.0.0.0/0", "::1", false},
        {"2001:db8::/32", "2001:db8::1", true},
        {"2001:db8::/32", "2001:db9::1", false},
        {"2001:db8::/33", "2001:db8:8000::", false},
        {"::1", "::1", true},
        {"::1/128", "::2", false},
        {"::/0", "2001:db8::1", true},
        {"::/0", "192.0.2.1", false},
        {"::/90", "192.0.2.1", false},
        {"::ffff:10.0.0.0/104", "10.1.2.3", true},
        {"::ffff:0:0/96", "10.1.2.3", true},
        {"::ffff:0:0/96", "::1", false},
        {"10.0.0.0/8", "::ffff:10.1.2.3", true},
    };
    for (const auto &c : cases) {
        auto range = parse_address_range(c.range);
        ASSERT_TRUE(range) << c.range;
        EXPECT_EQ(range->contains(address(c.address)), c.contains)
            << c.range << " and " << c.address;
    }
}

TEST(AddressRange, EveryPrefixLength) {
    for (int prefix = 0; prefix <= 32; prefix++) {
        auto range = parse_address_range("0.0.0.0/" + std::to_string(prefix));
        ASSERT_TRUE(range) << prefix;
        EXPECT_EQ(range->prefix, 96 + prefix);
        for (int bit = 0; bit < 32; bit++) {
            auto outside = address("0.0.0.0");
            outside.bytes[static_cast<std::size_t>(12 + bit / 8)] =
                static_cast<std::uint8_t>(0x80 >> bit % 8);
            EXPECT_EQ(range->contains(outside), bit >= prefix)
                << prefix << " and bit " << bit;
        }
    }
    for (int prefix = 0; prefix <= 128; prefix++) {
        auto range = parse_address_range("::/" + std::to_string(prefix));
        ASSERT_TRUE(range) << prefix;
        EXPECT_EQ(range->prefix, prefix);
        EXPECT_EQ(range->contains(address("8000::")), prefix == 0);
        EXPECT_EQ(range->contains(address("::1")), prefix < 128);
    }
}

TEST(AddressRange, Refused) {
    const std::string cases[] = {
        "",
        "/",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/256",
        "10.0.0.0/08",
        "10.0.0.0/00",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "10.0.0.0/8 ",
        " 10.0.0.0/8",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
        "10.0.0.1/8",
        "192.0.2.1/31",
        "0.0.0.1/0",
        "10.0.0",
        "10/8",
        "010.0.0.0/8",
        "0x0a.0.0.0/8",
        "10.0.0.256",
        "1.2.3.4.5",
        "localhost",
        "all",
        "2001:db8::1/32",
        "2001:db8::/129",
        "2001:db8",
        ":::",
        "[::1]",
        "fe80::1%lo",
        "::ffff:10.0.0.1/104",
        std::string("10.0.0.0\0", 9),
        std::string("10.0.0.0/8\0", 11),
        std::string(200, '1'),
    };
    for (const auto &text : cases) {
        EXPECT_FALSE(parse_address_range(text)) << text;
    }
}

}  // namespace
}  // namespace keystile
