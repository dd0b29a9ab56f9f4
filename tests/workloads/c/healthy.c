/* The healthy twin of waits.c: the same calls, released in time. Nothing here is ever leaked, and
 * at every moment some thread is in each kind of wait.
 *
 * Waits that end and begin again all the time carry no truth; those at rest (the pool, the event
 * loop, the cycle of timed locks) do.
 */
#include "truth.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static void nap(long milliseconds)
{
    struct timespec t = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static pthread_mutex_t shared = PTHREAD_MUTEX_INITIALIZER;

/* Ten of these queue for one mutex; each holds it for a while. */
OWN void *contender_thread(void *unused)
{
    (void)unused;
    for (;;) {
        check(pthread_mutex_lock(&shared), "lock");
        nap(150);
        check(pthread_mutex_unlock(&shared), "unlock");
        nap(1);
    }
}

static pthread_mutex_t queue_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_filled = PTHREAD_COND_INITIALIZER;
static int queued;

OWN void *consumer_thread(void *unused)
{
    (void)unused;
    for (;;) {
        check(pthread_mutex_lock(&queue_mutex), "lock");
        while (queued == 0)
            check(pthread_cond_wait(&queue_filled, &queue_mutex), "pthread_cond_wait");
        queued--;
        check(pthread_mutex_unlock(&queue_mutex), "unlock");
    }
}

static int pipe_ends[2];

OWN void *reader_thread(void *unused)
{
    char byte;
    (void)unused;
    while (read(pipe_ends[0], &byte, 1) == 1)
        continue;
    return NULL;
}

OWN void *producer_thread(void *unused)
{
    (void)unused;
    for (;;) {
        nap(120);
        check(pthread_mutex_lock(&queue_mutex), "lock");
        queued++;
        check(pthread_cond_signal(&queue_filled), "pthread_cond_signal");
        check(pthread_mutex_unlock(&queue_mutex), "unlock");
        if (write(pipe_ends[1], "x", 1) != 1)
            die("write: %s", strerror(errno));
    }
}

OWN void *short_lived_thread(void *unused)
{
    nap(300);
    return unused;
}

OWN void *joiner_thread(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_t thread;
        check(pthread_create(&thread, NULL, short_lived_thread, NULL), "pthread_create");
        check(pthread_join(thread, NULL), "pthread_join");
    }
}

/* A cycle that ends by itself: both wait with a timeout for what the other holds. */
static pthread_mutex_t left = PTHREAD_MUTEX_INITIALIZER, right = PTHREAD_MUTEX_INITIALIZER;
static atomic_int left_by, right_by;

static void lock_for_an_hour(pthread_mutex_t *mutex)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 3600;
    pthread_mutex_timedlock(mutex, &until);
    KEEP_FRAME();
}

OWN void *patient_left_thread(void *wait)
{
    check(pthread_mutex_lock(&left), "lock");
    atomic_store(&left_by, own_tid());
    await_nonzero(&right_by);
    begin_wait(wait);
    lock_for_an_hour(&right);
    return NULL;
}

OWN void *patient_right_thread(void *wait)
{
    check(pthread_mutex_lock(&right), "lock");
    atomic_store(&right_by, own_tid());
    await_nonzero(&left_by);
    begin_wait(wait);
    lock_for_an_hour(&left);
    return NULL;
}

/* Two that go round: the same cycle, broken and closed again five times a second. */
static pthread_mutex_t first = PTHREAD_MUTEX_INITIALIZER, second = PTHREAD_MUTEX_INITIALIZER;

static void cross(pthread_mutex_t *own, pthread_mutex_t *other)
{
    for (;;) {
        struct timespec until;
        check(pthread_mutex_lock(own), "lock");
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        if (pthread_mutex_timedlock(other, &until) == 0)
            pthread_mutex_unlock(other);
        pthread_mutex_unlock(own);
    }
}

OWN void *crossing_thread(void *backwards)
{
    if (backwards != NULL)
        cross(&second, &first);
    cross(&first, &second);
    return NULL;
}

/* A pool with nothing to do. */
static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t pool_work = PTHREAD_COND_INITIALIZER;

OWN void next_job(struct wait *wait)
{
    pthread_mutex_lock(&pool_mutex);
    begin_wait(wait);
    pthread_cond_wait(&pool_work, &pool_mutex);
    KEEP_FRAME();
}

OWN void *pool_thread(void *wait)
{
    next_job(wait);
    KEEP_FRAME();
    return NULL;
}

/* A server without clients. */
static int epoll_fd, accept_fd;

OWN void wait_for_events(struct wait *wait)
{
    struct epoll_event events[8];
    begin_wait(wait);
    epoll_wait(epoll_fd, events, 8, -1);
    KEEP_FRAME();
}

OWN void *server_thread(void *wait)
{
    wait_for_events(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void wait_for_client(struct wait *wait)
{
    begin_wait(wait);
    accept(accept_fd, NULL, NULL);
    KEEP_FRAME();
}

OWN void *accept_thread(void *wait)
{
    wait_for_client(wait);
    KEEP_FRAME();
    return NULL;
}

static int listening_socket(void)
{
    struct sockaddr_in any_port = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&any_port, sizeof(any_port)) != 0 ||
        listen(fd, 8) != 0)
        die("listening on the loopback: %s", strerror(errno));
    return fd;
}

#ifdef __GLIBC__
#define EPOLL_CALL SYS_epoll_wait
#else
#define EPOLL_CALL SYS_epoll_pwait /* musl 1.2: src/linux/epoll.c */
#endif

static void start_server(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int listener = listening_socket();
    accept_fd = listening_socket();
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event) != 0)
        die("epoll: %s", strerror(errno));
    start_thread(server_thread,
                 expect_wait(&(struct wait){.role = "epoll", .call = EPOLL_CALL,
                                            .fd = epoll_fd,
                                            .stack = "wait_for_events,server_thread"}));
    start_thread(accept_thread,
                 expect_wait(&(struct wait){.role = "accept", .call = SYS_accept,
                                            .fd = accept_fd,
                                            .stack = "wait_for_client,accept_thread"}));
}

int main(void)
{
    live_at_most(900);
    if (pipe(pipe_ends) != 0)
        die("pipe: %s", strerror(errno));
    for (int i = 0; i < 10; i++)
        start_thread(contender_thread, NULL);
    for (int i = 0; i < 10; i++)
        start_thread(consumer_thread, NULL);
    for (int i = 0; i < 5; i++)
        start_thread(reader_thread, NULL);
    for (int i = 0; i < 3; i++)
        start_thread(joiner_thread, NULL);
    start_thread(producer_thread, NULL);
    start_thread(crossing_thread, NULL);
    start_thread(crossing_thread, &first);
    start_thread(patient_left_thread,
                 expect_wait(&(struct wait){.role = "timedlock", .call = SYS_futex,
                                            .object = &right, .size = sizeof(right),
                                            .owner = &right_by, .stack = "patient_left_thread"}));
    start_thread(patient_right_thread,
                 expect_wait(&(struct wait){.role = "timedlock", .call = SYS_futex,
                                            .object = &left, .size = sizeof(left),
                                            .owner = &left_by, .stack = "patient_right_thread"}));
    for (int i = 0; i < 4; i++)
        start_thread(pool_thread,
                     expect_wait(&(struct wait){.role = "cond", .call = SYS_futex,
                                                .object = &pool_work, .size = sizeof(pool_work),
                                                .stack = "next_job,pool_thread"}));
    start_server();
    say_ready();
    stay();
}
