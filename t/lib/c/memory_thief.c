/*
 * memory_thief UID ANCESTOR: a process of the workers' user that tries to get
 * at their memory, from the moment each of them exists.
 *
 * Becomes UID (unless that is -1) and watches for processes called nginx that
 * are children of ANCESTOR, or theirs. Each is tried in turn, over and over:
 * opening /proc/PID/mem, process_vm_readv(2), PTRACE_SEIZE and PTRACE_ATTACH. A
 * try that the kernel lets through is a success, whatever it then yields.
 *
 * The first line of standard input is a key to look for in what can be read.
 * Says `ready`, and `tried PID` when it has tried all of it at a process for
 * the first time; goes on until standard input ends, and then says
 *
 *     seen N tries N mem N vm N seize N attach N keys N
 *
 * where `seen` counts processes, `keys` those in which the key was found, and
 * the others successes.
 */

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_WATCHED 64
#define MAX_REGION (64UL << 20)
#define RECENT 4        /* pids that are looked at again */
#define ROUNDS 256      /* after so many, all processes are */

struct watched {
    pid_t pid;  /* 0: no longer */
    int memory; /* an open /proc/PID/mem, or -1 */
    int vm, seized, attached, robbed, told;
};

static struct watched watched[MAX_WATCHED];
static pid_t ancestor, last_pid;
static char key[512];
static unsigned long seen, tries, mems, vms, seizes, attaches, keys;

static int stop(void) {
    char byte;
    return read(0, &byte, 1) == 0;
}

/* The parent of a process, and whether it is called nginx. */
static pid_t parent_of(pid_t pid, int *is_nginx) {
    char path[64], text[512];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (n <= 0) {
        return 0;
    }
    text[n] = '\0';
    char *after = strrchr(text, ')');
    char state;
    int parent = 0;
    if (after == NULL || sscanf(after + 1, " %c %d", &state, &parent) != 2) {
        return 0;
    }
    *is_nginx = strstr(text, "(nginx)") != NULL;
    return state == 'Z' || state == 'X' ? 0 : parent;
}

static int is_target(pid_t pid) {
    int is_nginx = 0, ignored;
    pid_t parent = parent_of(pid, &is_nginx);
    if (!is_nginx || parent <= 1) {
        return 0;
    }
    return parent == ancestor || parent_of(parent, &ignored) == ancestor;
}

static int open_memory(pid_t pid) {
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/mem", pid);
    return open(path, O_RDONLY);
}

/* A new process: tried before anything else is asked about it. */
static void watch(pid_t pid) {
    int memory = open_memory(pid);
    struct watched *slot = NULL;
    for (int i = 0; i < MAX_WATCHED; i++) {
        if (watched[i].pid == pid) {
            slot = NULL;
            break;
        }
        if (watched[i].pid == 0 && slot == NULL) {
            slot = &watched[i];
        }
    }
    if (slot == NULL || !is_target(pid)) {
        if (memory >= 0) {
            close(memory);
        }
        return;
    }
    *slot = (struct watched){.pid = pid, .memory = memory};
    mems += memory >= 0;
    seen++;
    tries++;
}

static void watch_all(void) {
    DIR *proc = opendir("/proc");
    struct dirent *entry;
    while (proc != NULL && (entry = readdir(proc)) != NULL) {
        pid_t pid = atoi(entry->d_name);
        if (pid > 0) {
            watch(pid);
        }
    }
    if (proc != NULL) {
        closedir(proc);
    }
}

/* The kernel says which pid it gave last. */
static pid_t newest_pid(void) {
    static int fd = -1;
    char text[128];
    pid_t pid = 0;
    if (fd < 0) {
        fd = open("/proc/loadavg", O_RDONLY);
    }
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n > 0) {
        text[n] = '\0';
        sscanf(text, "%*s %*s %*s %*s %d", &pid);
    }
    return pid;
}

/*
 * A pid is given before its process can be seen, so the last few are looked at
 * again. One that took longer, or was not nginx yet, is found with all others.
 */
static void watch_new(void) {
    static int round;
    pid_t newest = newest_pid();
    if (newest < last_pid || ++round % ROUNDS == 0) {
        watch_all();
    }
    for (pid_t pid = last_pid - RECENT + 1; pid <= newest; pid++) {
        if (pid > 1) {
            watch(pid);
        }
    }
    last_pid = newest;
}

static void let_go(pid_t pid) {
    int status;
    waitpid(pid, &status, __WALL);
    ptrace(PTRACE_DETACH, pid, 0, 0);
}

/* Whether the key is in what /proc/PID/mem gives. */
static int has_key(struct watched *w) {
    char path[64], line[512];
    int found = 0;
    snprintf(path, sizeof(path), "/proc/%d/maps", w->pid);
    FILE *maps = fopen(path, "r");
    while (maps != NULL && !found && fgets(line, sizeof(line), maps)) {
        unsigned long start, end;
        char perms[8];
        if (sscanf(line, "%lx-%lx %7s", &start, &end, perms) != 3 ||
            perms[0] != 'r' || end - start > MAX_REGION) {
            continue;
        }
        char *region = malloc(end - start);
        ssize_t n = pread(w->memory, region, end - start, (off_t) start);
        found = n > 0 && memmem(region, (size_t) n, key, strlen(key)) != NULL;
        free(region);
    }
    if (maps != NULL) {
        fclose(maps);
    }
    return found;
}

static void try_all(struct watched *w) {
    char byte;
    struct iovec local = {&byte, 1}, remote = {(void *) 4096, 1};

    tries++;
    if (w->memory < 0 && (w->memory = open_memory(w->pid)) >= 0) {
        mems++;
    }
    if (!w->vm && (process_vm_readv(w->pid, &local, 1, &remote, 1, 0) >= 0 ||
                   errno == EFAULT)) {
        w->vm = 1;
        vms++;
    }
    if (!w->seized && ptrace(PTRACE_SEIZE, w->pid, 0, 0) == 0) {
        w->seized = 1;
        seizes++;
        ptrace(PTRACE_INTERRUPT, w->pid, 0, 0);
        let_go(w->pid);
    }
    if (!w->attached && ptrace(PTRACE_ATTACH, w->pid, 0, 0) == 0) {
        w->attached = 1;
        attaches++;
        let_go(w->pid);
    }
    if (w->memory >= 0 && !w->robbed && has_key(w)) {
        w->robbed = 1;
        keys++;
    }
}

static void rob(void) {
    for (int i = 0; i < MAX_WATCHED; i++) {
        struct watched *w = &watched[i];
        if (w->pid == 0) {
            continue;
        }
        try_all(w);
        if (!w->told) {
            w->told = 1;
            printf("tried %d\n", w->pid);
            fflush(stdout);
        }
        if (!is_target(w->pid)) {
            if (w->memory >= 0) {
                close(w->memory);
            }
            w->pid = 0;
        }
    }
}

int main(int argc, char **argv) {
    if (argc != 3 || fgets(key, sizeof(key), stdin) == NULL) {
        fprintf(stderr, "usage: memory_thief UID ANCESTOR\n");
        return 1;
    }
    key[strcspn(key, "\n")] = '\0';
    int uid = atoi(argv[1]);
    ancestor = atoi(argv[2]);
    if (uid >= 0 && (setgroups(0, NULL) != 0 || setgid((gid_t) uid) != 0 ||
                     setuid((uid_t) uid) != 0)) {
        perror("setuid");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
    last_pid = newest_pid();
    watch_all();
    printf("ready\n");
    fflush(stdout);
    while (!stop()) {
        watch_new();
        rob();
    }
    printf("seen %lu tries %lu mem %lu vm %lu seize %lu attach %lu keys %lu\n",
           seen, tries, mems, vms, seizes, attaches, keys);
    return 0;
}
