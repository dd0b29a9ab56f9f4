/* 10,000 blocked threads over 250 distinct stacks in one process, and a thread that ticks.
 *
 * many [THREADS]   after the truth, each line of standard input is answered with the gaps between
 *                  the ticker's wake-ups since the line before:
 *                  {"ticks":N,"p50_us":…,"p99_us":…,"p999_us":…,"max_us":…,"over_2ms":N}
 *
 * A thread that is due each millisecond notices when its process is stopped.
 */
#include "truth.h"

#define STACK 16384
#define MAX_TICKS 2000000

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static atomic_int held_by;
static pthread_mutex_t cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never_signalled = PTHREAD_COND_INITIALIZER;
static int silent_pipe[2];

/* Blocks in the way that the wait asks for; each leaf function asks for one of the three. */
OWN void block(struct wait *wait)
{
    char byte;
    if (wait->object == &held) {
        begin_wait(wait);
        pthread_mutex_lock(&held);
    } else if (wait->object == &never_signalled) {
        pthread_mutex_lock(&cond_mutex);
        begin_wait(wait);
        pthread_cond_wait(&never_signalled, &cond_mutex);
    } else {
        begin_wait(wait);
        if (read(silent_pipe[0], &byte, 1) != 1)
            die("read of a pipe came back");
    }
    KEEP_FRAME();
}

#define LEAF(n)                                                                                    \
    OWN void leaf_##n(struct wait *wait)                                                           \
    {                                                                                              \
        block(wait);                                                                               \
        KEEP_FRAME();                                                                              \
    }
#define NAME(n) {leaf_##n, "block,leaf_" #n ",many_thread"},
#define TEN(each, n)                                                                               \
    each(n##0) each(n##1) each(n##2) each(n##3) each(n##4) each(n##5) each(n##6) each(n##7)        \
        each(n##8) each(n##9)
#define HUNDRED(each, n)                                                                           \
    TEN(each, n##0) TEN(each, n##1) TEN(each, n##2) TEN(each, n##3) TEN(each, n##4)                \
    TEN(each, n##5) TEN(each, n##6) TEN(each, n##7) TEN(each, n##8) TEN(each, n##9)
#define ALL(each)                                                                                  \
    HUNDRED(each, 1) HUNDRED(each, 2) TEN(each, 30) TEN(each, 31) TEN(each, 32) TEN(each, 33)      \
    TEN(each, 34)

ALL(LEAF)

static const struct leaf {
    void (*call)(struct wait *);
    const char *stack;
} leaves[] = {ALL(NAME)};

#define LEAVES ((int)(sizeof(leaves) / sizeof(leaves[0])))

OWN void *many_thread(void *argument)
{
    struct wait *wait = argument;
    leaves[(wait - waits) % LEAVES].call(wait);
    KEEP_FRAME();
    return NULL;
}

static uint32_t gaps_us[MAX_TICKS];
static atomic_int ticks;

OWN void *ticker_thread(void *unused)
{
    struct timespec due;
    int64_t last = now_ns();
    clock_gettime(CLOCK_MONOTONIC, &due);
    while (ticks < MAX_TICKS) {
        due.tv_nsec += 1000000;
        due.tv_sec += due.tv_nsec / 1000000000;
        due.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
        int64_t now = now_ns();
        gaps_us[ticks] = (uint32_t)((now - last) / 1000);
        last = now;
        atomic_fetch_add(&ticks, 1);
    }
    return unused;
}

static int ascending(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The gaps of ticks `from` to `to`. */
static void print_gaps(int from, int to)
{
    static uint32_t sorted[MAX_TICKS];
    int count = to - from, over = 0;
    if (count <= 0) {
        printf("{\"ticks\":0}\n");
        return;
    }
    memcpy(sorted, gaps_us + from, sizeof(sorted[0]) * (size_t)count);
    qsort(sorted, (size_t)count, sizeof(sorted[0]), ascending);
    for (int i = 0; i < count; i++)
        over += sorted[i] > 2000;
    printf("{\"ticks\":%d,\"p50_us\":%u,\"p99_us\":%u,\"p999_us\":%u,\"max_us\":%u,"
           "\"over_2ms\":%d}\n",
           count, sorted[count / 2], sorted[(int64_t)count * 99 / 100],
           sorted[(int64_t)count * 999 / 1000], sorted[count - 1], over);
}

static void answer_lines(void)
{
    int from = ticks, byte;
    while ((byte = getchar()) != EOF)
        if (byte == '\n') {
            int to = ticks;
            print_gaps(from, to);
            fflush(stdout);
            from = ticks; /* sorting is no part of the next window */
        }
}

static void start_many(int count)
{
    pthread_attr_t small;
    check(pthread_attr_init(&small), "pthread_attr_init");
    check(pthread_attr_setstacksize(&small, STACK), "pthread_attr_setstacksize");
    for (int i = 0; i < count; i++) {
        struct wait wait = {.role = "pipe", .call = SYS_read, .fd = silent_pipe[0],
                            .stack = leaves[i % LEAVES].stack};
        if (i % LEAVES % 3 == 0)
            wait = (struct wait){.role = "mutex", .call = SYS_futex, .object = &held,
                                 .size = sizeof(held), .owner = &held_by, .stack = wait.stack};
        else if (i % LEAVES % 3 == 1)
            wait = (struct wait){.role = "cond", .call = SYS_futex, .object = &never_signalled,
                                 .size = sizeof(never_signalled), .stack = wait.stack};
        pthread_t thread;
        check(pthread_create(&thread, &small, many_thread, expect_wait(&wait)), "pthread_create");
    }
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 10000;
    live_at_most(1800);
    if (count <= 0 || count > MAX_WAITS)
        die("many: between 1 and %d threads", MAX_WAITS);
    if (pipe(silent_pipe) != 0)
        die("pipe: %s", strerror(errno));
    check(pthread_mutex_lock(&held), "lock");
    atomic_store(&held_by, own_tid());
    start_many(count);
    say_ready();
    start_thread(ticker_thread, NULL);
    answer_lines();
    return 0;
}
