#include "line_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>

namespace keystile {
namespace {

class LineFileTest : public testing::Test {
protected:
    void SetUp() override {
        char name[] = "/tmp/line-file-XXXXXX";
        ASSERT_NE(mkdtemp(name), nullptr);
        directory_ = name;
        path_ = directory_ + "/lines";
        std::ofstream{path_};
    }
    void TearDown() override {
        unlink(path_.c_str());
        unlink((path_ + ".old").c_str());
        rmdir(directory_.c_str());
    }

    std::string content() const {
        std::ifstream file{path_};
        std::ostringstream text;
        text << file.rdbuf();
        return text.str();
    }

    std::string directory_;
    std::string path_;
};

TEST_F(LineFileTest, AppendsLines) {
    LineFile file;
    ASSERT_EQ(file.open(path_.c_str()), 0);
    EXPECT_EQ(file.append("a\n", 0), RecordLoss::none);
    EXPECT_EQ(file.append("b\n", 4), RecordLoss::none);
    EXPECT_EQ(file.append("c\n", 4), RecordLoss::file_full);
    EXPECT_EQ(file.append("c\n", 5), RecordLoss::file_full);
    EXPECT_EQ(file.append("c\n", 6), RecordLoss::none);
    EXPECT_EQ(content(), "a\nb\nc\n");
}

// By one who was killed while it wrote.
TEST_F(LineFileTest, BeginsALineAfterATornOne) {
    std::ofstream{path_} << "a\nb";
    LineFile file;
    ASSERT_EQ(file.open(path_.c_str()), 0);
    EXPECT_EQ(file.append("c\n", 0), RecordLoss::none);
    EXPECT_EQ(file.append("d\n", 0), RecordLoss::none);
    EXPECT_EQ(content(), "a\nb\nc\nd\n");

    std::ofstream{path_} << "a\nb";
    EXPECT_EQ(file.append("c\n", 5), RecordLoss::file_full);
    EXPECT_EQ(content(), "a\nb");
    EXPECT_EQ(file.append("c\n", 6), RecordLoss::none);
    EXPECT_EQ(content(), "a\nb\nc\n");
}

TEST_F(LineFileTest, MakesNoFileAndFollowsNoLink) {
    LineFile file;
    EXPECT_EQ(file.open((path_ + ".none").c_str()), ENOENT);
    EXPECT_EQ(file.open(directory_.c_str()), EISDIR);
    auto link = path_ + ".old";
    ASSERT_EQ(symlink(path_.c_str(), link.c_str()), 0);
    EXPECT_EQ(file.open(link.c_str()), ELOOP);
    EXPECT_FALSE(file.is_open());
    EXPECT_EQ(file.append("a\n", 0), RecordLoss::write_error);
    EXPECT_EQ(file.error(), EBADF);
}

TEST_F(LineFileTest, KeepsTheOldFileUntilThereIsANewOne) {
    LineFile file;
    ASSERT_EQ(file.open(path_.c_str()), 0);
    auto old = path_ + ".old";
    ASSERT_EQ(rename(path_.c_str(), old.c_str()), 0);
    EXPECT_EQ(file.open(path_.c_str()), ENOENT);
    EXPECT_EQ(file.append("a\n", 0), RecordLoss::none);
    std::ofstream{path_};
    ASSERT_EQ(file.open(path_.c_str()), 0);
    EXPECT_EQ(file.append("b\n", 0), RecordLoss::none);
    EXPECT_EQ(content(), "b\n");
}

TEST_F(LineFileTest, TakesATornLineBack) {
    // RLIMIT_FSIZE cuts a write off, as a full disk does.
    auto child = fork();
    if (child == 0) {
        signal(SIGXFSZ, SIG_IGN);
        rlimit limit{10, 10};
        setrlimit(RLIMIT_FSIZE, &limit);
        LineFile file;
        bool good = file.open(path_.c_str()) == 0 &&
                    file.append("12345\n", 0) == RecordLoss::none &&
                    file.append("67890abc\n", 0) == RecordLoss::write_error &&
                    file.error() == EFBIG &&
                    file.append("678\n", 0) == RecordLoss::none;
        _exit(good ? 0 : 1);
    }
    int status = -1;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(content(), "12345\n678\n");
}

TEST_F(LineFileTest, MixesNoLinesOfSeveralProcesses) {
    constexpr int kProcesses = 4;
    constexpr int kLines = 200;
    for (int i = 0; i < kProcesses; i++) {
        if (fork() == 0) {
            LineFile file;
            auto line = std::string(20'000, static_cast<char>('a' + i)) + "\n";
            bool good = file.open(path_.c_str()) == 0;
            for (int k = 0; good && k < kLines; k++) {
                good = file.append(line, 0) == RecordLoss::none;
            }
            _exit(good ? 0 : 1);
        }
    }
    for (int i = 0; i < kProcesses; i++) {
        int status = -1;
        wait(&status);
        EXPECT_EQ(status, 0);
    }
    std::istringstream lines{content()};
    int count = 0;
    for (std::string line; std::getline(lines, line); count++) {
        ASSERT_EQ(line, std::string(20'000, line[0]));
    }
    EXPECT_EQ(count, kProcesses * kLines);
}

}  // namespace
}  // namespace keystile
