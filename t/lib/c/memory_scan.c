/*
 * memory_scan PID: looks for secrets in all memory of a process.
 *
 * Standard input has one text to look for a line: a label without spaces, a
 * space, and the bytes in hexadecimal. Every run of RUN or more bytes of one
 * of them is a hit. A line on standard output for each:
 *
 *     hit LABEL LENGTH OFFSET ADDRESS START-END PERMS [FLAGS] PATH
 *
 * where OFFSET is where the run begins in the text, and FLAGS are the VmFlags
 * of smaps. Mappings that can't be read, though their permissions allow it:
 *
 *     unreadable START-END PERMS [FLAGS] PATH
 *
 * and at the end `scanned BYTES`. Mappings above 4 GiB, which only sanitizers
 * make, and the kernel's own ([vsyscall]) are left out. Exits with 1 if the
 * process can't be looked at, after saying why unless it is gone.
 */

#define _GNU_SOURCE
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RUN 10
#define PIECE (1 << 20)
#define MAX_TEXTS 512
#define MAX_TEXT 512
#define MAX_MAPPING (4ULL << 30)

struct text {
    char label[64];
    unsigned char bytes[MAX_TEXT];
    size_t length;
};

struct mapping {
    unsigned long start, end;
    char perms[8];
    char flags[256];
    char path[256];
};

static struct text texts[MAX_TEXTS];
static size_t text_count;

/* Which first eight bytes a run may have: a Bloom filter of one hash. */
static unsigned char filter[1 << 16];

static unsigned hash(const unsigned char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return (unsigned) ((word * 0x9E3779B97F4A7C15ULL) >> 48);
}

static void die(const char *what) {
    if (errno != ENOENT && errno != ESRCH) {
        perror(what);
    }
    exit(1);
}

static void read_texts(void) {
    char hex[2 * MAX_TEXT + 1];
    while (text_count < MAX_TEXTS) {
        struct text *text = &texts[text_count];
        if (scanf("%63s %1024s", text->label, hex) != 2) {
            break;
        }
        for (const char *p = hex; p[0] && p[1]; p += 2) {
            unsigned byte;
            sscanf(p, "%2x", &byte);
            text->bytes[text->length++] = (unsigned char) byte;
        }
        for (size_t i = 0; i + RUN <= text->length; i++) {
            filter[hash(text->bytes + i)] = 1;
        }
        text_count++;
    }
}

static void print_mapping(const struct mapping *m) {
    printf("%lx-%lx %s [%s] %s\n", m->start, m->end, m->perms, m->flags,
           m->path);
}

/* The longest run of any text at p; 0 if there is none of RUN bytes. */
static size_t run_at(const unsigned char *p, const unsigned char *end,
                     const struct text **which, size_t *offset) {
    size_t longest = 0;
    for (size_t t = 0; t < text_count; t++) {
        for (size_t i = 0; i + RUN <= texts[t].length; i++) {
            size_t n = 0;
            while (p + n < end && i + n < texts[t].length &&
                   p[n] == texts[t].bytes[i + n]) {
                n++;
            }
            if (n >= RUN && n > longest) {
                longest = n;
                *which = &texts[t];
                *offset = i;
            }
        }
    }
    return longest;
}

/* Pieces overlap, so that a run is whole in one of them. */
static unsigned long scan(int memory, const struct mapping *m) {
    static unsigned char piece[PIECE + MAX_TEXT];
    unsigned long scanned = 0, reported = m->start;

    for (unsigned long at = m->start; at < m->end; at += PIECE) {
        unsigned long size = m->end - at;
        if (size > sizeof(piece)) {
            size = sizeof(piece);
        }
        ssize_t n = pread(memory, piece, size, (off_t) at);
        if (n <= 0) {
            printf("unreadable ");
            print_mapping(m);
            break;
        }
        scanned += (unsigned long) n;
        for (ssize_t i = 0; i + RUN <= n && i < PIECE; i++) {
            const struct text *text;
            size_t offset, length;
            if (!filter[hash(piece + i)] || at + i < reported ||
                (length = run_at(piece + i, piece + n, &text, &offset)) == 0) {
                continue;
            }
            printf("hit %s %zu %zu %lx ", text->label, length, offset, at + i);
            print_mapping(m);
            reported = at + i + length;
        }
    }
    return scanned;
}

/* One mapping of smaps: its first line is in `line`, and in the end the first
 * line of the next is. */
static int read_mapping(FILE *smaps, char *line, size_t size,
                        struct mapping *m) {
    int path = 0;
    memset(m, 0, sizeof(*m));
    if (sscanf(line, "%lx-%lx %7s %*s %*s %*s %n", &m->start, &m->end,
               m->perms, &path) < 3) {
        return 0;
    }
    snprintf(m->path, sizeof(m->path), "%.255s", line + path);
    m->path[strcspn(m->path, "\n")] = '\0';
    line[0] = '\0';
    while (fgets(line, (int) size, smaps) && isupper((unsigned char) *line)) {
        if (strncmp(line, "VmFlags: ", 9) == 0) {
            snprintf(m->flags, sizeof(m->flags), "%.255s", line + 9);
            m->flags[strcspn(m->flags, "\n")] = '\0';
        }
        line[0] = '\0';
    }
    return 1;
}

int main(int argc, char **argv) {
    char path[64], line[4096] = "";
    struct mapping m;
    unsigned long scanned = 0;

    if (argc != 2) {
        fprintf(stderr, "usage: memory_scan PID\n");
        return 1;
    }
    read_texts();
    snprintf(path, sizeof(path), "/proc/%s/mem", argv[1]);
    int memory = open(path, O_RDONLY);
    if (memory < 0) {
        die(path);
    }
    snprintf(path, sizeof(path), "/proc/%s/smaps", argv[1]);
    FILE *smaps = fopen(path, "r");
    if (smaps == NULL || fgets(line, sizeof(line), smaps) == NULL) {
        die(path);
    }
    while (read_mapping(smaps, line, sizeof(line), &m)) {
        if (m.perms[0] == 'r' && m.end - m.start <= MAX_MAPPING &&
            strcmp(m.path, "[vsyscall]") != 0) {
            scanned += scan(memory, &m);
        }
    }
    printf("scanned %lu\n", scanned);
    return 0;
}
