#include "secret_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "mlock_is_real.hpp"

namespace keystile {
namespace {

namespace fs = std::filesystem;
using Rule = SecretFileError::Rule;

constexpr HeaderLineFormat kBearer{"Authorization", "Bearer "};
constexpr uid_t kNobody = 65534;
const std::string kKey = "sk-test-secret-file";

// A directory with a good credential file in it, and ways to spoil it.
class SecretFile : public testing::Test {
protected:
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

TEST_F(SecretFile, PathForms) {
    refused("", Rule::absolute_path, "");
    refused("key", Rule::absolute_path, "key");
    refused("./key", Rule::absolute_path, "./key");
    refused(directory + "/none", Rule::path_exists, directory + "/none");
    EXPECT_EQ(error.error_number, ENOENT);
    refused(directory + "/none/key", Rule::path_exists, directory + "/none");
    refused(path + "/", Rule::path_exists, path);
    EXPECT_EQ(error.error_number, ENOTDIR);
    refused(path + "/key", Rule::path_exists, path);

    auto below = make_directory("below");
    EXPECT_EQ(value("//" + directory.substr(1) + "//./key"), kKey);
    EXPECT_EQ(value(below + "/../key"), kKey);
    EXPECT_EQ(value(below + "/.././below/../key"), kKey);
    EXPECT_EQ(value("/../.." + path), kKey);
    refused(below + "/../none", Rule::path_exists, directory + "/none");

    refused("/" + std::string(256, 'a'), Rule::path_length, "/");
    refused("/" + std::string(5000, 'a'), Rule::path_length, "/");
    refused(directory + "/a\nb\x7F", Rule::path_exists, directory + "/a?b?");
}

// The end of a long path tells more than its beginning.
TEST_F(SecretFile, LongComponentsAreShortened) {
    auto deep = directory;
    for (int i = 0; i < 3; i++) {
        deep += "/" + std::string(200, static_cast<char>('a' + i));
        ASSERT_EQ(mkdir(deep.c_str(), 0755), 0);
    }
    EXPECT_EQ(value(deep + "/none"), std::nullopt);
    auto whole = deep + "/none";
    EXPECT_EQ(error.component, "..." + whole.substr(whole.size() - 252));
}

TEST_F(SecretFile, Directories) {
    auto below = make_directory("below", 0755);
    auto file = write("below/key", kKey);
    EXPECT_EQ(value(file), kKey);

    for (mode_t mode : {0775u, 0757u, 0777u}) {
        ASSERT_EQ(chmod(below.c_str(), mode), 0);
        refused(file, Rule::directory_writable, below);
        options.relaxed = true;
        refused(file, Rule::directory_writable, below);
        options.relaxed = false;
        // Sticky: only the owner of an entry can replace it.
        ASSERT_EQ(chmod(below.c_str(), 01000 | mode), 0);
        EXPECT_EQ(value(file), kKey);
    }

    ASSERT_EQ(chmod(below.c_str(), 0777), 0);
    refused(below + "/../key", Rule::directory_writable, below);
}

TEST_F(SecretFile, DirectoryOwners) {
    NEEDS_ROOT();
    options.owner = 0;
    auto below = make_directory("below");
    auto file = write("below/key", kKey);
    give_to_nobody(below);
    refused(file, Rule::directory_owner, below);
    refused(below + "/../key", Rule::directory_owner, below);

    ASSERT_EQ(chmod(below.c_str(), 01777), 0);
    refused(file, Rule::directory_owner, below);

    options.owner = kNobody;
    EXPECT_EQ(value(file), kKey);
}

TEST_F(SecretFile, EntriesOfStickyDirectories) {
    NEEDS_ROOT();
    options.owner = 0;
    auto shared = make_directory("shared", 01777);
    auto file = write("shared/key", kKey);
    give_to_nobody(file);
    refused(file, Rule::file_owner, file);

    auto to_key = link("shared/link", path);
    EXPECT_EQ(value(to_key), kKey);
    give_to_nobody(to_key);
    refused(to_key, Rule::link_owner, to_key);
}

TEST_F(SecretFile, Links) {
    make_directory("a");
    make_directory("a/b");
    write("a/b/key", kKey);
    EXPECT_EQ(value(link("relative", "a/b/key")), kKey);
    EXPECT_EQ(value(link("absolute", path)), kKey);
    EXPECT_EQ(value(link("a/up", "../key")), kKey);
    EXPECT_EQ(value(link("a/b/twice", "../up")), kKey);
    EXPECT_EQ(value(link("down", "a/b") + "/key"), kKey);
    EXPECT_EQ(value(directory + "/down/../up"), kKey) << "physical parent";
    EXPECT_EQ(value(directory + "/down//./key"), kKey);
    EXPECT_EQ(value(link("slash", "a/b/") + "/key"), kKey);

    refused(link("dangling", "nowhere"), Rule::path_exists,
            directory + "/nowhere");
    refused(link("to-directory", "a"), Rule::regular_file, directory + "/a");
    refused(path + "/../key", Rule::path_exists, path);

    link("file-as-directory", "key/");
    refused(directory + "/file-as-directory", Rule::path_exists, path);
}

TEST_F(SecretFile, LinkOwnersAndTargets) {
    NEEDS_ROOT();
    options.owner = 0;
    auto to_key = link("link", path);
    EXPECT_EQ(value(to_key), kKey);
    give_to_nobody(to_key);
    refused(to_key, Rule::link_owner, to_key);

    // The directories that a link leads through count as well.
    auto open = make_directory("open", 0777);
    write("open/key", kKey);
    refused(link("into", "open/key"), Rule::directory_writable, open);
    refused(link("through", directory + "/open/../key"),
            Rule::directory_writable, open);
}

TEST_F(SecretFile, AtMostFortyLinks) {
    auto target = path;
    for (int i = 1; i <= 41; i++) {
        target = link("link-" + std::to_string(i), target);
        if (i == 40) {
            EXPECT_EQ(value(target), kKey);
        }
    }
    refused(target, Rule::link_count, directory + "/link-1");

    link("loop-a", "loop-b");
    refused(link("loop-b", "loop-a"), Rule::link_count, directory + "/loop-b");
    refused(link("self", "self"), Rule::link_count, directory + "/self");
    // Grows with each step.
    refused(link("grows", "grows/" + std::string(200, 'x')), Rule::path_length,
            directory + "/grows");
}

// /secret/..data -> ..2024_01_01, /secret/key -> ..data/key; an update
// exchanges ..data. The mount is sticky and open to all.
TEST_F(SecretFile, KubernetesMounts) {
    auto mount = make_directory("mount", 01777);
    make_directory("mount/..2024_01_01");
    make_directory("mount/..2024_02_02");
    write("mount/..2024_01_01/key", "sk-test-old");
    write("mount/..2024_02_02/key", "sk-test-new");
    link("mount/..data", "..2024_01_01");
    auto file = link("mount/key", "..data/key");
    EXPECT_EQ(value(file), "sk-test-old");

    link("mount/..data_tmp", "..2024_02_02");
    fs::rename(mount + "/..data_tmp", mount + "/..data");
    EXPECT_EQ(value(file), "sk-test-new");

    // Their default mode needs permissions=relaxed.
    auto real = mount + "/..2024_02_02/key";
    ASSERT_EQ(chmod(real.c_str(), 0644), 0);
    refused(file, Rule::file_access, real);
    options.relaxed = true;
    EXPECT_EQ(value(file), "sk-test-new");
    EXPECT_TRUE(warnings.accessible_by_others);
}

// /proc/self/fd/N is a link to no real path.
TEST_F(SecretFile, MagicLinksAreNotFollowed) {
    int fds[2];
    ASSERT_EQ(pipe(fds), 0);
    auto magic = "/proc/self/fd/" + std::to_string(fds[0]);
    EXPECT_EQ(value(magic), std::nullopt);
    EXPECT_EQ(error.rule, Rule::path_exists);
    EXPECT_EQ(error.error_number, ENOENT);
    close(fds[0]);
    close(fds[1]);
}

TEST_F(SecretFile, NoAccess) {
    NEEDS_ROOT();
    auto closed = make_directory("closed", 0700);
    auto file = write("closed/key", kKey);
    auto unreadable = write("unreadable", kKey, 0);
    ASSERT_EQ(chmod(directory.c_str(), 0755), 0);

    auto pid = fork();
    if (pid == 0) {
        if (setuid(kNobody) != 0) {
            _exit(2);
        }
        options.owner = kNobody;
        refused(file, Rule::path_exists, file);
        EXPECT_EQ(error.error_number, EACCES);
        refused(unreadable, Rule::readable, unreadable);
        EXPECT_EQ(error.error_number, EACCES);
        _exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

TEST_F(SecretFile, NoLockedMemory) {
    NEEDS_MLOCK();
    auto pid = fork();
    if (pid == 0) {
        rlimit none{0, 0};
        auto uid = geteuid() == 0 ? kNobody : geteuid();
        if (setrlimit(RLIMIT_MEMLOCK, &none) != 0 ||
            chown(path.c_str(), uid, static_cast<gid_t>(-1)) != 0 ||
            chmod(directory.c_str(), 0755) != 0 || setuid(uid) != 0) {
            _exit(2);
        }
        options.owner = uid;
        refused(path, Rule::lockable_memory, path);
        EXPECT_NE(error.error_number, 0);
        _exit(HasFailure() ? 1 : 0);
    }
    int status = 0;
    waitpid(pid, &status, 0);
    EXPECT_EQ(status, 0);
}

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

TEST(SecretFileError, EachRuleHasASentence) {
    for (int i = 0; i <= static_cast<int>(Rule::lockable_memory); i++) {
        auto sentence = describe(static_cast<Rule>(i));
        EXPECT_TRUE(sentence.starts_with("must ")) << i;
        EXPECT_EQ(sentence.data()[sentence.size()], '\0');
    }
}

// What was moved or dropped leaves nothing behind the line.
TEST_F(SecretFile, NothingFollowsTheLine) {
    auto line = read(write("long", "Bearer    " + std::string(300, 'k')));
    ASSERT_TRUE(line);
    auto end = line->line().data() + line->line().size();
    auto page = reinterpret_cast<std::uintptr_t>(end) & ~std::uintptr_t{4095};
    auto rest = reinterpret_cast<const char *>(page + 4096) - end;
    EXPECT_GT(rest, 1000);
    EXPECT_TRUE(std::all_of(end, end + rest, [](char c) { return c == 0; }));
}

// No copy of a key is left anywhere in the process once it has been read, but
// in the mapping.
TEST_F(SecretFile, ThereIsOneCopyOnly) {
    // Made so that this test does not hold the key itself.
    auto unlikely = [](std::size_t i) {
        return static_cast<char>('A' + ((i + 1) * 2654435761 >> 13) % 26);
    };
    auto fd = open((directory + "/one").c_str(), O_WRONLY | O_CREAT, 0600);
    for (char c : {'b', 'E', 'a', 'r', 'e', 'r', ' '}) {
        ASSERT_EQ(::write(fd, &c, 1), 1);
    }
    for (std::size_t i = 0; i < 64; i++) {
        auto c = unlikely(i);
        ASSERT_EQ(::write(fd, &c, 1), 1);
    }
    close(fd);

    auto line = read(directory + "/one");
    ASSERT_TRUE(line);
    ASSERT_EQ(line->value().size(), 64u);

    int copies = 0;
    auto memory = open("/proc/self/mem", O_RDONLY);
    std::ifstream maps{"/proc/self/maps"};
    std::string map;
    auto needle = line->value().substr(40);  // the end, moved over "bearer "
    while (std::getline(maps, map)) {
        std::uintptr_t start;
        std::uintptr_t end;
        char flags[5];
        ASSERT_EQ(sscanf(map.c_str(), "%lx-%lx %4s", &start, &end, flags), 3);
        if (flags[0] != 'r' || end - start > (std::size_t{1} << 32)) {
            continue;
        }
        auto size = end - start;
        auto buffer = static_cast<char *>(malloc(size));
        auto n = pread(memory, buffer, size, static_cast<off_t>(start));
        for (auto at = buffer; n > 0;) {
            auto left = static_cast<std::size_t>(buffer + n - at);
            auto hit = memmem(at, left, needle.data(), needle.size());
            if (hit == nullptr) {
                break;
            }
            copies++;
            at = static_cast<char *>(hit) + 1;
        }
        if (n > 0) {
            explicit_bzero(buffer, static_cast<std::size_t>(n));
        }
        free(buffer);
    }
    close(memory);
    // Secret memory does not even show itself.
    bool is_secret = line->backing().starts_with("secret");
    EXPECT_EQ(copies, is_secret ? 0 : 1);
}

}  // namespace
}  // namespace keystile
