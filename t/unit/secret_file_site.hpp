// What tests of read_secret_file() share: a directory with a good credential
// file in it, and ways to spoil it.

#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>

#include "secret_file.hpp"

namespace keystile {

namespace fs = std::filesystem;

inline constexpr HeaderLineFormat kBearer{"Authorization", "Bearer "};
inline constexpr uid_t kNobody = 65534;
inline const std::string kKey = "sk-test-secret-file";

class SecretFile : public testing::Test {
protected:
    using Rule = SecretFileError::Rule;

    void SetUp() override {
        char name[] = "/tmp/keystile-secret-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        directory = name;
        path = write("key", kKey + "\n");
    }

    void TearDown() override { fs::remove_all(directory); }

    std::string write(const std::string &name, std::string_view content,
                      mode_t mode = 0600) {
        auto file = directory + "/" + name;
        std::ofstream{file, std::ios::binary} << content;
        EXPECT_EQ(chmod(file.c_str(), mode), 0);
        return file;
    }

    std::string make_directory(const std::string &name, mode_t mode = 0755) {
        auto made = directory + "/" + name;
        EXPECT_EQ(mkdir(made.c_str(), 0755), 0);
        EXPECT_EQ(chmod(made.c_str(), mode), 0);
        return made;
    }

    std::string link(const std::string &name, const std::string &target) {
        auto made = directory + "/" + name;
        EXPECT_EQ(symlink(target.c_str(), made.c_str()), 0);
        return made;
    }

    void give_to_nobody(const std::string &file) {
        ASSERT_EQ(lchown(file.c_str(), kNobody, kNobody), 0);
    }

    Result<SecretLine, SecretFileError> read(const std::string &file) {
        warnings = {};
        return read_secret_file(file.c_str(), kBearer, options, warnings);
    }

    // What was read, or nothing; the error is kept.
    std::optional<std::string> value(const std::string &file) {
        auto line = read(file);
        if (!line) {
            error = line.error();
            return std::nullopt;
        }
        return std::string{line->value()};
    }

    // Expects a file to be refused for one rule, and one component.
    void refused(const std::string &file, Rule rule,
                 const std::string &component) {
        SCOPED_TRACE(file);
        EXPECT_EQ(value(file), std::nullopt);
        EXPECT_EQ(describe(error.rule), describe(rule));
        EXPECT_EQ(error.component, component);
    }

    std::string directory;
    std::string path;
    SecretFileOptions options{false, geteuid()};
    SecretFileWarnings warnings;
    SecretFileError error{};
};

#define NEEDS_ROOT()                                     \
    if (geteuid() != 0) {                                \
        GTEST_SKIP() << "only root can give files away"; \
    }                                                    \
    static_assert(true)

}  // namespace keystile
