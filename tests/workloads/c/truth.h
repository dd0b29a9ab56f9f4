/* What a workload knows about its own waits, so that a report can be held against it.
 *
 * A workload registers every wait that it will enter (expect_wait), stamps it in the waiting
 * thread just before the blocking call (begin_wait), and then calls say_ready, which waits until
 * the kernel itself says that each of these threads is blocked, prints one JSON object per wait
 * and a last line {"ready":PID}. Ids are those of the workload's own PID namespace, times are
 * CLOCK_MONOTONIC nanoseconds.
 */
#ifndef TRUTH_H
#define TRUTH_H

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Own functions are neither inlined nor cloned, so that a report can name them at any -O. */
#define OWN __attribute__((noipa))
/* After a blocking call: the caller's frame must not be given up to a tail call. */
#define KEEP_FRAME() __asm__ volatile("" ::: "memory")

#define ANY_SYSCALL (-2)
#define IN_PAGE_FAULT (-1)
#define MAX_WAITS 10240

/* One wait that will be entered. */
struct wait {
    const char *role;      /* row of the harness's table of expected reasons */
    const char *stack;     /* own functions, innermost first, with commas; "*": and more */
    const char *leaked;    /* "true", "false", or "null" where either answer is right */
    const char *name;      /* thread name as a JSON string without quotes, or NULL */
    const void *object;    /* address waited on, or NULL */
    unsigned size;         /* its size in bytes */
    int fd;                /* descriptor waited on; 0 where there is none */
    const atomic_int *owner; /* where the owner's tid will stand, or NULL */
    bool owner_gone;       /* no thread that shares this memory has the owner's tid any more */
    long call;             /* syscall number it blocks in */
    atomic_int tid;
    _Atomic int64_t began_ns;
};

static struct wait waits[MAX_WAITS];
static int wait_count;

static inline int own_tid(void) { return (int)syscall(SYS_gettid); }

static inline int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    _exit(1);
}

static inline void check(int error, const char *what)
{
    if (error != 0)
        die("%s: %s", what, strerror(error));
}

/* Waits until `word` isn't zero; every hand-over between threads of a workload goes through this,
 * so that no wait is entered before what it waits on is as it should be. */
static inline int await_nonzero(const atomic_int *word)
{
    int value;
    while ((value = atomic_load(word)) == 0) {
        struct timespec t = {0, 1000000};
        nanosleep(&t, NULL);
    }
    return value;
}

/* Registers a wait; only the main thread may. */
static inline struct wait *expect_wait(const struct wait *wait)
{
    if (wait_count == MAX_WAITS)
        die("more than %d waits", MAX_WAITS);
    struct wait *slot = &waits[wait_count++];
    memcpy(slot, wait, sizeof(*slot));
    if (slot->leaked == NULL)
        slot->leaked = "false";
    return slot;
}

/* Stamps a wait; the very next thing its thread does must be the blocking call. */
static inline void begin_wait(struct wait *wait)
{
    atomic_store(&wait->tid, own_tid());
    atomic_store(&wait->began_ns, now_ns());
}

static inline void start_thread(void *(*routine)(void *), void *argument)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, routine, argument), "pthread_create");
    check(pthread_detach(thread), "pthread_detach");
}

static inline size_t read_task_file(int tid, const char *file, char *buffer, size_t size)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/%s", tid, file);
    FILE *in = fopen(path, "r");
    if (in == NULL)
        return 0;
    size_t length = fread(buffer, 1, size - 1, in);
    fclose(in);
    buffer[length] = 0;
    return length;
}

/* Whether the kernel says that the thread is blocked where it should be, and how often it has
 * left a CPU so far. */
static inline bool is_blocked(struct wait *wait, unsigned long *switches)
{
    char text[4096];
    int tid = atomic_load(&wait->tid);
    if (tid == 0 || atomic_load(&wait->began_ns) == 0)
        return false;
    if (wait->call != ANY_SYSCALL) {
        if (read_task_file(tid, "syscall", text, sizeof(text)) == 0 || text[0] == 'r')
            return false;
        if (strtol(text, NULL, 10) != wait->call)
            return false;
    }
    if (read_task_file(tid, "status", text, sizeof(text)) == 0)
        return false;
    const char *state = strstr(text, "\nState:\t");
    const char *left = strstr(text, "\nvoluntary_ctxt_switches:");
    if (state == NULL || left == NULL || (state[8] != 'S' && state[8] != 'D'))
        return false;
    *switches = strtoul(strchr(left, ':') + 1, NULL, 10);
    return true;
}

static inline bool all_blocked(unsigned long *switches)
{
    *switches = 0;
    for (int i = 0; i < wait_count; i++) {
        unsigned long one;
        if (!is_blocked(&waits[i], &one))
            return false;
        *switches += one;
    }
    return true;
}

static inline void print_wait(const struct wait *wait)
{
    printf("{\"role\":\"%s\",\"tid\":%d,\"began_ns\":%lld,\"stack\":\"%s\",\"leaked\":%s",
           wait->role, wait->tid, (long long)wait->began_ns, wait->stack, wait->leaked);
    if (wait->name != NULL)
        printf(",\"name\":\"%s\"", wait->name);
    if (wait->object != NULL)
        printf(",\"object\":%llu,\"size\":%u", (unsigned long long)(uintptr_t)wait->object,
               wait->size);
    if (wait->fd != 0)
        printf(",\"fd\":%d", wait->fd);
    if (wait->owner != NULL)
        printf(",\"owner\":%d,\"owner_gone\":%s", atomic_load(wait->owner),
               wait->owner_gone ? "true" : "false");
    printf("}\n");
}

/* Prints the truth once every registered wait has been blocked over two looks without having run
 * in between; gives up loudly after 60 s. */
static inline void say_ready(void)
{
    int64_t deadline = now_ns() + 60000000000;
    unsigned long before = 0, after = 0;
    bool was_blocked = false;
    for (;;) {
        bool blocked = all_blocked(&after);
        if (blocked && was_blocked && before == after)
            break;
        was_blocked = blocked;
        before = after;
        if (now_ns() > deadline) {
            for (int i = 0; i < wait_count; i++)
                if (!is_blocked(&waits[i], &after))
                    fprintf(stderr, "%s (tid %d) did not block\n", waits[i].role, waits[i].tid);
            die("the workload did not come to rest");
        }
        struct timespec t = {0, 10000000};
        nanosleep(&t, NULL);
    }
    for (int i = 0; i < wait_count; i++)
        print_wait(&waits[i]);
    printf("{\"ready\":%d}\n", getpid());
    fflush(stdout);
}

/* Nothing may be left behind: a workload ends by itself, or at SIGTERM. */
static inline void live_at_most(unsigned seconds) { alarm(seconds); }

/* The main thread's end. */
static inline void stay(void)
{
    for (;;)
        pause();
}

#endif
