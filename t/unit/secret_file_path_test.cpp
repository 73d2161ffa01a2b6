// The way to a credential file: each directory and link of it is judged.

#include "secret_file.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "secret_file_site.hpp"

namespace keystile {
namespace {

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

}  // namespace
}  // namespace keystile
