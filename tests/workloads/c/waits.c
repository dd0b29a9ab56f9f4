/* The leaky program: threads that wait in every common way, two kinds of which nothing can end.
 *
 *   10 on a mutex held by a sleeping thread
 *   10 on a condition variable
 *    5 in read() of a pipe
 *    3 joining a thread that is stuck itself
 *    1 on a mutex whose owner exited while it held it   (leaked)
 *    2 that hold one mutex each and wait for the other's (leaked)
 */
#include "truth.h"

#include <poll.h>

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static atomic_int held_by;
static pthread_mutex_t cond_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never_signalled = PTHREAD_COND_INITIALIZER;
static int silent_pipe[2];
static pthread_mutex_t orphaned = PTHREAD_MUTEX_INITIALIZER;
static atomic_int orphaned_by;
static pthread_mutex_t left = PTHREAD_MUTEX_INITIALIZER, right = PTHREAD_MUTEX_INITIALIZER;
static atomic_int left_by, right_by;

OWN void hold_and_sleep(struct wait *wait)
{
    struct timespec hour = {3600, 0};
    check(pthread_mutex_lock(&held), "lock");
    atomic_store(&held_by, own_tid());
    begin_wait(wait);
    clock_nanosleep(CLOCK_MONOTONIC, 0, &hour, NULL);
    KEEP_FRAME();
}

OWN void *holder_thread(void *wait)
{
    hold_and_sleep(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void wait_on_mutex(struct wait *wait)
{
    begin_wait(wait);
    pthread_mutex_lock(&held);
    KEEP_FRAME();
}

OWN void update_account(struct wait *wait)
{
    wait_on_mutex(wait);
    KEEP_FRAME();
}

OWN void *mutex_thread(void *wait)
{
    await_nonzero(&held_by);
    update_account(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void wait_on_cond(struct wait *wait)
{
    pthread_mutex_lock(&cond_mutex);
    begin_wait(wait);
    pthread_cond_wait(&never_signalled, &cond_mutex);
    KEEP_FRAME();
    pthread_mutex_unlock(&cond_mutex);
}

OWN void await_result(struct wait *wait)
{
    wait_on_cond(wait);
    KEEP_FRAME();
}

OWN void *cond_thread(void *wait)
{
    await_result(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void wait_on_pipe(struct wait *wait)
{
    char byte;
    begin_wait(wait);
    if (read(silent_pipe[0], &byte, 1) != 1)
        die("read of a pipe came back");
    KEEP_FRAME();
}

OWN void receive_message(struct wait *wait)
{
    wait_on_pipe(wait);
    KEEP_FRAME();
}

OWN void *pipe_thread(void *wait)
{
    receive_message(wait);
    KEEP_FRAME();
    return NULL;
}

/* A thread that is stuck, and the thread that joins it. */
struct pair {
    struct wait *stuck, *joiner;
    pthread_t thread;
    atomic_int stuck_tid;
};

OWN void get_stuck(struct pair *pair)
{
    struct pollfd fds = {.fd = silent_pipe[0], .events = POLLPRI};
    atomic_store(&pair->stuck_tid, own_tid());
    begin_wait(pair->stuck);
    poll(&fds, 1, -1);
    KEEP_FRAME();
}

OWN void *stuck_thread(void *pair)
{
    get_stuck(pair);
    KEEP_FRAME();
    return NULL;
}

OWN void wait_for_thread(struct pair *pair)
{
    await_nonzero(&pair->stuck_tid);
    begin_wait(pair->joiner);
    pthread_join(pair->thread, NULL);
    KEEP_FRAME();
}

OWN void shut_down(struct pair *pair)
{
    wait_for_thread(pair);
    KEEP_FRAME();
}

OWN void *join_thread(void *pair)
{
    shut_down(pair);
    KEEP_FRAME();
    return NULL;
}

OWN void *forgetful_thread(void *unused)
{
    (void)unused;
    check(pthread_mutex_lock(&orphaned), "lock");
    atomic_store(&orphaned_by, own_tid());
    return NULL;
}

OWN void wait_on_orphan(struct wait *wait)
{
    begin_wait(wait);
    pthread_mutex_lock(&orphaned);
    KEEP_FRAME();
}

OWN void *orphan_thread(void *wait)
{
    wait_on_orphan(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void lock_left_then_right(struct wait *wait)
{
    check(pthread_mutex_lock(&left), "lock");
    atomic_store(&left_by, own_tid());
    await_nonzero(&right_by);
    begin_wait(wait);
    pthread_mutex_lock(&right);
    KEEP_FRAME();
}

OWN void *left_thread(void *wait)
{
    lock_left_then_right(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void lock_right_then_left(struct wait *wait)
{
    check(pthread_mutex_lock(&right), "lock");
    atomic_store(&right_by, own_tid());
    await_nonzero(&left_by);
    begin_wait(wait);
    pthread_mutex_lock(&left);
    KEEP_FRAME();
}

OWN void *right_thread(void *wait)
{
    lock_right_then_left(wait);
    KEEP_FRAME();
    return NULL;
}

static void start_waiters(void)
{
    start_thread(holder_thread,
                 expect_wait(&(struct wait){.role = "sleep", .call = SYS_clock_nanosleep,
                                            .stack = "hold_and_sleep,holder_thread"}));
    for (int i = 0; i < 10; i++)
        start_thread(mutex_thread,
                     expect_wait(&(struct wait){
                         .role = "mutex", .call = SYS_futex, .object = &held,
                         .size = sizeof(held), .owner = &held_by,
                         .stack = "wait_on_mutex,update_account,mutex_thread"}));
    for (int i = 0; i < 10; i++)
        start_thread(cond_thread,
                     expect_wait(&(struct wait){
                         .role = "cond", .call = SYS_futex, .object = &never_signalled,
                         .size = sizeof(never_signalled),
                         .stack = "wait_on_cond,await_result,cond_thread"}));
    for (int i = 0; i < 5; i++)
        start_thread(pipe_thread,
                     expect_wait(&(struct wait){
                         .role = "pipe", .call = SYS_read, .fd = silent_pipe[0],
                         .stack = "wait_on_pipe,receive_message,pipe_thread"}));
}

static void start_joiners(void)
{
    static struct pair pairs[3];
    for (int i = 0; i < 3; i++) {
        pairs[i].stuck = expect_wait(&(struct wait){.role = "poll", .call = SYS_poll,
                                                    .fd = silent_pipe[0],
                                                    .stack = "get_stuck,stuck_thread"});
        pairs[i].joiner = expect_wait(&(struct wait){
            .role = "join", .call = SYS_futex, .owner = &pairs[i].stuck_tid,
            .stack = "wait_for_thread,shut_down,join_thread"});
        check(pthread_create(&pairs[i].thread, NULL, stuck_thread, &pairs[i]), "pthread_create");
        start_thread(join_thread, &pairs[i]);
    }
}

static void start_leaks(void)
{
    pthread_t forgetful;
    check(pthread_create(&forgetful, NULL, forgetful_thread, NULL), "pthread_create");
    check(pthread_join(forgetful, NULL), "pthread_join");
    start_thread(orphan_thread,
                 expect_wait(&(struct wait){.role = "orphan", .call = SYS_futex, .leaked = "true",
                                            .object = &orphaned, .size = sizeof(orphaned),
                                            .owner = &orphaned_by, .owner_gone = true,
                                            .stack = "wait_on_orphan,orphan_thread"}));
    start_thread(left_thread,
                 expect_wait(&(struct wait){.role = "abba", .call = SYS_futex, .leaked = "true",
                                            .object = &right, .size = sizeof(right),
                                            .owner = &right_by,
                                            .stack = "lock_left_then_right,left_thread"}));
    start_thread(right_thread,
                 expect_wait(&(struct wait){.role = "abba", .call = SYS_futex, .leaked = "true",
                                            .object = &left, .size = sizeof(left),
                                            .owner = &left_by,
                                            .stack = "lock_right_then_left,right_thread"}));
}

int main(void)
{
    live_at_most(900);
    if (pipe(silent_pipe) != 0)
        die("pipe: %s", strerror(errno));
    start_waiters();
    start_joiners();
    start_leaks();
    say_ready();
    stay();
}
