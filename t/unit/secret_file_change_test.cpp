// Files and directories that change while they are read.

#include "secret_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "secret_file_site.hpp"

namespace keystile {
namespace {

// Runs `change` over and over while a test reads.
class Meanwhile {
public:
    explicit Meanwhile(std::function<void()> change)
        : thread_{[this, change] {
              while (!stop_) {
                  change();
              }
          }} {}
    ~Meanwhile() {
        stop_ = true;
        thread_.join();
    }

private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

// A rotation that is done right is never noticed.
TEST_F(SecretFile, ReplacedWhileItIsRead) {
    auto file = write("rotating", "sk-test-old");
    Meanwhile rotate{[&] {
        for (auto content : {"sk-test-new", "sk-test-old"}) {
            fs::rename(write("next", content), file);
        }
    }};
    for (int i = 0; i < 2000; i++) {
        auto got = value(file);
        ASSERT_TRUE(got) << describe(error.rule);
        EXPECT_TRUE(got == "sk-test-old" || got == "sk-test-new");
    }
}

// One that is written in place is refused when the change shows.
TEST_F(SecretFile, WrittenWhileItIsRead) {
    auto file = write("changing", "1");
    auto fd = open(file.c_str(), O_WRONLY);
    const std::string content(16000, 'k');
    bool noticed = false;
    {
        Meanwhile rewrite{[&] {
            EXPECT_EQ(ftruncate(fd, 1), 0);
            EXPECT_EQ(pwrite(fd, content.data(), content.size(), 0), 16000);
        }};
        using Clock = std::chrono::steady_clock;
        auto deadline = Clock::now() + std::chrono::seconds{60};
        while (!noticed && Clock::now() < deadline) {
            noticed = !value(file) && error.rule == Rule::file_stable;
        }
    }
    EXPECT_TRUE(noticed);
    close(fd);
}

// A directory on the way is exchanged for somebody else's, again and again.
TEST_F(SecretFile, ExchangedDirectories) {
    NEEDS_ROOT();
    options.owner = 0;
    make_directory("good");
    make_directory("evil");
    write("good/key", kKey);
    write("evil/key", "sk-test-evil");
    give_to_nobody(directory + "/evil");
    auto file = directory + "/now/key";
    fs::rename(directory + "/good", directory + "/now");
    Meanwhile exchange{[&] {
        renameat2(AT_FDCWD, (directory + "/now").c_str(), AT_FDCWD,
                  (directory + "/evil").c_str(), RENAME_EXCHANGE);
    }};
    for (int i = 0; i < 5000; i++) {
        auto got = value(file);
        if (got) {
            EXPECT_EQ(got, kKey);
        } else {
            EXPECT_EQ(describe(error.rule), describe(Rule::directory_owner));
        }
    }
}

}  // namespace
}  // namespace keystile
