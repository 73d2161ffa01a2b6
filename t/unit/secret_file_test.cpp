#include "secret_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>

#include "secret_file_site.hpp"

namespace keystile {
namespace {

TEST_F(SecretFile, BecomesAHeaderLine) {
    auto line = read(path);
    ASSERT_TRUE(line);
    EXPECT_EQ(line->line(), "Authorization: Bearer " + kKey + "\r\n");
    EXPECT_EQ(line->value(), kKey);
    EXPECT_TRUE(line->lock_again());
    EXPECT_FALSE(warnings.accessible_by_others);
    EXPECT_FALSE(warnings.scheme_removed);

    auto api_key =
        read_secret_file(path.c_str(), {"x-api-key", ""}, options, warnings);
    ASSERT_TRUE(api_key);
    EXPECT_EQ(api_key->line(), "x-api-key: " + kKey + "\r\n");

    SecretLine moved{std::move(*line)};
    EXPECT_EQ(moved.value(), kKey);
}

TEST_F(SecretFile, Content) {
    const std::string longest(16384, 'k');
    struct {
        std::string content;
        std::string value;  // empty: refused
        std::optional<Rule> rule;
        bool scheme_removed;
    } cases[] = {
        {kKey, kKey, {}, false},
        {kKey + "\n", kKey, {}, false},
        {kKey + "\r\n", kKey, {}, false},
        {"Bearer " + kKey + "\n", kKey, {}, true},
        {"bearer " + kKey, kKey, {}, true},
        {"BEARER   " + kKey + "\r\n", kKey, {}, true},
        {"token " + kKey + "\n", kKey, {}, true},
        {"Token " + kKey, kKey, {}, true},
        {"Bearer", "Bearer", {}, false},
        {"Bearer-" + kKey, "Bearer-" + kKey, {}, false},
        {"!~", "!~", {}, false},
        {"k", "k", {}, false},
        {longest, longest, {}, false},
        {longest.substr(2) + "\r\n", longest.substr(2), {}, false},

        {"", "", Rule::not_empty, false},
        {"\n", "", Rule::not_empty, false},
        {"\r\n", "", Rule::not_empty, false},
        {"Bearer \n", "", Rule::not_empty, false},
        {"Bearer      ", "", Rule::not_empty, false},
        {longest + "\n", "", Rule::size_limit, false},
        {longest + longest, "", Rule::size_limit, false},
        {kKey + "\n\n", "", Rule::one_line, false},
        {"\n" + kKey, "", Rule::one_line, false},
        {kKey + "\nsecond\n", "", Rule::one_line, false},
        {kKey + "\r", "", Rule::one_line, false},
        {kKey + "\rX: y\n", "", Rule::one_line, false},
        {kKey + "\r\nX: y\r\n", "", Rule::one_line, false},
        {" " + kKey, "", Rule::characters, false},
        {kKey + " \n", "", Rule::characters, false},
        {"Authorization: Bearer " + kKey, "", Rule::characters, false},
        {"Bearer Bearer " + kKey, "", Rule::characters, false},
        {"sk test", "", Rule::characters, false},
        {"sk\ttest", "", Rule::characters, false},
        {"sk\x7Ftest", "", Rule::characters, false},
        {"sk\xC3\xA9test", "", Rule::characters, false},
        {"\xEF\xBB\xBF" + kKey, "", Rule::characters, false},
        {std::string("sk\0test", 7), "", Rule::characters, false},
        {"sk-placeholder-for-api-proxy\n", "", Rule::not_placeholder, false},
        {"Bearer sk-...\n", "", Rule::not_placeholder, false},
    };
    for (const auto &c : cases) {
        SCOPED_TRACE(c.content.substr(0, 80));
        auto file = write("content", c.content);
        auto line = read(file);
        EXPECT_EQ(line.has_value(), !c.rule);
        if (line) {
            EXPECT_EQ(line->line(),
                      "Authorization: Bearer " + c.value + "\r\n");
            EXPECT_EQ(line->value(), c.value);
        } else if (c.rule) {
            EXPECT_EQ(describe(line.error().rule), describe(*c.rule));
            EXPECT_EQ(line.error().component, file);
        }
        EXPECT_EQ(warnings.scheme_removed, c.scheme_removed);
    }
}

// The same content, by way of a pipe.
TEST_F(SecretFile, StandardInput) {
    auto read_through_pipe = [this](const std::string &content) {
        int fds[2];
        EXPECT_EQ(pipe(fds), 0);
        std::thread writer{[&] {
            for (char c : content) {
                EXPECT_EQ(::write(fds[1], &c, 1), 1);
            }
            close(fds[1]);
        }};
        auto line = read_secret_fd(fds[0], kBearer, warnings);
        writer.join();
        EXPECT_EQ(close(fds[0]), 0) << "stays open";
        return line;
    };

    auto line = read_through_pipe("Bearer " + kKey + "\n");
    ASSERT_TRUE(line);
    EXPECT_EQ(line->line(), "Authorization: Bearer " + kKey + "\r\n");
    EXPECT_TRUE(warnings.scheme_removed);

    EXPECT_TRUE(read_through_pipe(std::string(16384, 'k')));
    auto long_line = read_through_pipe(std::string(16385, 'k'));
    ASSERT_FALSE(long_line);
    EXPECT_EQ(long_line.error().rule, Rule::size_limit);
    EXPECT_STREQ(long_line.error().component, "");

    auto empty = read_through_pipe("");
    ASSERT_FALSE(empty);
    EXPECT_EQ(empty.error().rule, Rule::not_empty);

    auto closed = read_secret_fd(-1, kBearer, warnings);
    ASSERT_FALSE(closed);
    EXPECT_EQ(closed.error().rule, Rule::readable);
    EXPECT_EQ(closed.error().error_number, EBADF);
}

TEST_F(SecretFile, Permissions) {
    for (mode_t mode = 0; mode < 0200; mode++) {
        auto file = write("mode", kKey, 0600 | mode);
        auto writable = (mode & 022) != 0;
        SCOPED_TRACE(mode);

        options.relaxed = false;
        if (mode == 0 || mode == 0100) {
            EXPECT_EQ(value(file), kKey);
        } else {
            refused(file, Rule::file_access, file);
        }

        options.relaxed = true;
        if (writable) {
            refused(file, Rule::file_writable, file);
        } else {
            EXPECT_EQ(value(file), kKey);
            EXPECT_EQ(warnings.accessible_by_others, (mode & 077) != 0);
        }
    }
}

TEST_F(SecretFile, Owner) {
    NEEDS_ROOT();
    options.owner = 0;
    give_to_nobody(path);
    refused(path, Rule::file_owner, path);
    options.relaxed = true;
    refused(path, Rule::file_owner, path);

    options = {false, kNobody};
    EXPECT_EQ(value(path), kKey);
    EXPECT_EQ(chown(path.c_str(), 0, 0), 0);
    EXPECT_EQ(value(path), kKey) << "root is always trusted";
    EXPECT_EQ(chown(path.c_str(), 1, 1), 0);
    refused(path, Rule::file_owner, path);
}

TEST_F(SecretFile, OnlyRegularFiles) {
    refused(directory, Rule::regular_file, directory);
    refused(directory + "/", Rule::regular_file, directory);
    refused("/", Rule::regular_file, "/");
    refused("/dev/null", Rule::regular_file, "/dev/null");
    refused("/dev/zero", Rule::regular_file, "/dev/zero");

    auto fifo = directory + "/fifo";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    refused(fifo, Rule::regular_file, fifo);  // and does not hang

    auto name = directory + "/socket";
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, name.c_str());
    auto fd = socket(AF_UNIX, SOCK_STREAM, 0);
    ASSERT_EQ(
        bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)), 0);
    refused(name, Rule::regular_file, name);
    close(fd);

    refused(link("to-null", "/dev/null"), Rule::regular_file, "/dev/null");
}

// Files of sysfs say that they hold a page, and hold less.
TEST_F(SecretFile, ShorterThanItSays) {
    const char *file = "/sys/kernel/uevent_seqnum";
    struct stat status;
    if (stat(file, &status) != 0 || status.st_size != 4096 ||
        status.st_uid != 0) {
        GTEST_SKIP() << "there is no " << file;
    }
    options.relaxed = true;
    refused(file, Rule::file_stable, file);
}

TEST_F(SecretFile, EachRuleHasASentence) {
    for (int i = 0; i <= static_cast<int>(Rule::lockable_memory); i++) {
        auto sentence = describe(static_cast<Rule>(i));
        EXPECT_TRUE(sentence.starts_with("must ")) << i;
        EXPECT_EQ(sentence.data()[sentence.size()], '\0');
    }
}

}  // namespace
}  // namespace keystile
