/* One thread in each further way to wait that a report should know by name. */
#include "truth.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>

static int silent_pipe[2], full_pipe[2], connecting;
static struct sockaddr_in busy_server = {.sin_family = AF_INET};
static pid_t child;
static uint32_t word;
static sem_t semaphore;
static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_barrier_t barrier;

/* Each wait is a function and the thread that calls it. */
#define WAIT(name, call)                                                                           \
    OWN void wait_in_##name(struct wait *wait)                                                     \
    {                                                                                              \
        begin_wait(wait);                                                                          \
        if ((call) < 0)                                                                            \
            die(#name ": %s", strerror(errno));                                                    \
        KEEP_FRAME();                                                                              \
    }                                                                                              \
    OWN void *name##_thread(void *wait)                                                            \
    {                                                                                              \
        wait_in_##name(wait);                                                                      \
        KEEP_FRAME();                                                                              \
        return NULL;                                                                               \
    }

static fd_set *only(int fd)
{
    static fd_set set;
    FD_SET(fd, &set);
    return &set;
}

WAIT(connect, connect(connecting, (struct sockaddr *)&busy_server, sizeof(busy_server)))
WAIT(write, write(full_pipe[1], "x", 1))
WAIT(select, select(silent_pipe[0] + 1, only(silent_pipe[0]), NULL, NULL, NULL))
WAIT(wait4, waitpid(child, NULL, 0))
WAIT(futex, syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0))
WAIT(sem, sem_wait(&semaphore))
WAIT(rwlock, pthread_rwlock_rdlock(&rwlock))
WAIT(barrier, pthread_barrier_wait(&barrier))

#define START(name, ...)                                                                           \
    start_thread(name##_thread,                                                                    \
                 expect_wait(&(struct wait){.role = #name,                                         \
                                            .stack = "wait_in_" #name "," #name "_thread",         \
                                            __VA_ARGS__}))

/* A server that accepts nobody and whose queue is full: the next client waits. */
static void start_busy_server(void)
{
    socklen_t length = sizeof(busy_server);
    busy_server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&busy_server, length) != 0 || listen(listener, 0) != 0 ||
        getsockname(listener, (struct sockaddr *)&busy_server, &length) != 0)
        die("listening on the loopback: %s", strerror(errno));
    int first = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(first, (struct sockaddr *)&busy_server, length) != 0)
        die("connect: %s", strerror(errno));
    connecting = socket(AF_INET, SOCK_STREAM, 0);
}

static void fill_pipe(void)
{
    char block[4096] = {0};
    if (pipe(full_pipe) != 0 || fcntl(full_pipe[1], F_SETFL, O_NONBLOCK) != 0)
        die("pipe: %s", strerror(errno));
    while (write(full_pipe[1], block, sizeof(block)) > 0)
        continue;
    fcntl(full_pipe[1], F_SETFL, 0);
}

int main(void)
{
    live_at_most(900);
    child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        stay();
    }
    if (pipe(silent_pipe) != 0)
        die("pipe: %s", strerror(errno));
    fill_pipe();
    start_busy_server();
    check(sem_init(&semaphore, 0, 0), "sem_init");
    check(pthread_rwlock_wrlock(&rwlock), "pthread_rwlock_wrlock");
    check(pthread_barrier_init(&barrier, NULL, 2), "pthread_barrier_init");
    /* A client whose greetings are dropped greets again: its thread sleeps all the while. */
    START(connect, .call = SYS_connect, .fd = connecting);
    START(write, .call = SYS_write, .fd = full_pipe[1]);
    START(select, .call = ANY_SYSCALL);
    START(wait4, .call = SYS_wait4);
    START(futex, .call = SYS_futex, .object = &word, .size = sizeof(word));
    START(sem, .call = SYS_futex, .object = &semaphore, .size = sizeof(semaphore));
    START(rwlock, .call = SYS_futex, .object = &rwlock, .size = sizeof(rwlock));
    START(barrier, .call = SYS_futex, .object = &barrier, .size = sizeof(barrier));
    say_ready();
    stay();
}
