/* Mutexes of every type, with owners that live, are gone, or only seem to be either.
 *
 * locks MODE: see the table at the end. Each mode says itself what may be called leaked.
 */
#include "truth.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static pthread_mutex_t *mutex; /* what this mode is about; in shared memory */
static atomic_int owner;

static void make_mutex(pthread_mutex_t *at, int type, int protocol, int robust, int shared)
{
    pthread_mutexattr_t a;
    check(pthread_mutexattr_init(&a), "pthread_mutexattr_init");
    check(pthread_mutexattr_settype(&a, type), "pthread_mutexattr_settype");
    check(pthread_mutexattr_setprotocol(&a, protocol), "pthread_mutexattr_setprotocol");
    check(pthread_mutexattr_setrobust(&a, robust), "pthread_mutexattr_setrobust");
    check(pthread_mutexattr_setpshared(&a, shared), "pthread_mutexattr_setpshared");
    check(pthread_mutex_init(at, &a), "pthread_mutex_init");
}

static void make_plain(int type)
{
    make_mutex(mutex, type, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE);
}

OWN void wait_on_lock(struct wait *wait)
{
    begin_wait(wait);
    pthread_mutex_lock(wait->object == NULL ? mutex : (pthread_mutex_t *)wait->object);
    KEEP_FRAME();
}

OWN void *waiting_thread(void *wait)
{
    wait_on_lock(wait);
    KEEP_FRAME();
    return NULL;
}

static struct wait *expect_lock(pthread_mutex_t *at, const atomic_int *by, const char *leaked)
{
    return expect_wait(&(struct wait){.role = "lock", .call = SYS_futex, .leaked = leaked,
                                      .object = at, .size = sizeof(*at), .owner = by,
                                      .stack = "wait_on_lock,waiting_thread"});
}

static void wait_for_it(const char *leaked, bool owner_gone)
{
    struct wait *wait = expect_lock(mutex, &owner, leaked);
    wait->owner_gone = owner_gone;
    start_thread(waiting_thread, wait);
}

/* Locks the mutex and exits. */
OWN void *dying_thread(void *unused)
{
    check(pthread_mutex_lock(mutex), "lock");
    atomic_store(&owner, own_tid());
    return unused;
}

static void own_and_die(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, dying_thread, NULL), "pthread_create");
    check(pthread_join(thread, NULL), "pthread_join");
}

/* Locks the mutex, whatever its last owner did, and keeps it. */
static void lock_and_keep(void)
{
    int error = pthread_mutex_lock(mutex);
    if (error == EOWNERDEAD)
        error = pthread_mutex_consistent(mutex);
    check(error, "lock");
    atomic_store(&owner, own_tid());
    stay();
}

OWN void *keeping_thread(void *unused)
{
    lock_and_keep();
    return unused;
}

static void own_and_keep(void)
{
    start_thread(keeping_thread, NULL);
    await_nonzero(&owner);
}

static void recursive(void)
{
    make_plain(PTHREAD_MUTEX_RECURSIVE);
    own_and_die();
    wait_for_it("true", true);
}

static void errorcheck(void)
{
    make_plain(PTHREAD_MUTEX_ERRORCHECK);
    own_and_die();
    wait_for_it("true", true);
}

static void adaptive(void)
{
    make_plain(PTHREAD_MUTEX_ADAPTIVE_NP);
    own_and_die();
    wait_for_it("true", true);
}

static void robust(void)
{
    make_mutex(mutex, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_ROBUST,
               PTHREAD_PROCESS_PRIVATE);
    own_and_die();
    atomic_store(&owner, 0);
    own_and_keep();
    wait_for_it("false", false);
}

static void inherit(void)
{
    make_mutex(mutex, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_STALLED,
               PTHREAD_PROCESS_PRIVATE);
    own_and_keep();
    wait_for_it("false", false);
}

/* The first owner dies under a waiter; the kernel hands the lock to that waiter, who keeps it.
 * (Without PTHREAD_MUTEX_ROBUST glibc 2.36 aborts such a waiter: pthread_mutex_lock.c.) */
static atomic_int may_die;

OWN void *dying_later_thread(void *unused)
{
    check(pthread_mutex_lock(mutex), "lock");
    atomic_store(&owner, own_tid());
    await_nonzero(&may_die);
    return unused;
}

OWN void *inheriting_thread(void *tid)
{
    atomic_store((atomic_int *)tid, own_tid());
    lock_and_keep();
    return NULL;
}

static void robust_inherit(void)
{
    static atomic_int heir;
    static struct wait probe;
    unsigned long switches;
    make_mutex(mutex, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_INHERIT, PTHREAD_MUTEX_ROBUST,
               PTHREAD_PROCESS_PRIVATE);
    start_thread(dying_later_thread, NULL);
    await_nonzero(&owner);
    start_thread(inheriting_thread, &heir);
    probe.tid = await_nonzero(&heir);
    probe.began_ns = 1;
    probe.call = SYS_futex;
    while (!is_blocked(&probe, &switches))
        sched_yield();
    atomic_store(&may_die, 1);
    while (atomic_load(&owner) != heir)
        sched_yield();
    wait_for_it("false", false);
}

/* Another process holds it: its tid is that of no thread here, and yet it lives. */
static void pshared(void)
{
    int ready[2];
    char byte;
    make_mutex(mutex, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED,
               PTHREAD_PROCESS_SHARED);
    if (pipe(ready) != 0)
        die("pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        check(pthread_mutex_lock(mutex), "lock");
        if (write(ready[1], "x", 1) != 1)
            _exit(1);
        stay();
    }
    if (child < 0 || read(ready[0], &byte, 1) != 1)
        die("fork: %s", strerror(errno));
    atomic_store(&owner, child);
    wait_for_it("false", false);
}

/* A process that shares this memory without being one of this process's threads holds it. It has
 * no thread descriptor of its own, so it writes the lock as glibc's lowlevellock would. */
static int sibling_main(void *unused)
{
    (void)unused;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    mutex->__data.__lock = 1;
    mutex->__data.__owner = own_tid();
    mutex->__data.__nusers = 1;
    atomic_store(&owner, own_tid());
    for (;;)
        syscall(SYS_pause);
    return 0;
}

static void sibling(void)
{
    static char stack[65536] __attribute__((aligned(16)));
    make_plain(PTHREAD_MUTEX_NORMAL);
    if (clone(sibling_main, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL) < 0)
        die("clone: %s", strerror(errno));
    await_nonzero(&owner);
    wait_for_it("false", false);
}

/* Asks the kernel for the tid `wanted` next. */
static void next_tid(int wanted)
{
    FILE *out = fopen("/proc/sys/kernel/ns_last_pid", "w");
    if (out == NULL || fprintf(out, "%d", wanted - 1) < 0 || fclose(out) != 0)
        die("ns_last_pid: %s", strerror(errno));
}

/* The owner is gone, and its tid now belongs to another process altogether. */
static void reused_elsewhere(void)
{
    make_plain(PTHREAD_MUTEX_NORMAL);
    own_and_die();
    for (int tries = 0; tries < 10000; tries++) {
        next_tid(owner);
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (getpid() == owner)
                pause();
            _exit(0);
        }
        if (child == owner) {
            wait_for_it("true", true);
            return;
        }
        waitpid(child, NULL, 0);
    }
    die("tid %d could not be had again", owner);
}

OWN void *impostor_thread(void *unused)
{
    if (own_tid() == owner)
        stay();
    return unused;
}

/* The owner is gone, and its tid belongs to a younger thread of this process. Nobody will unlock
 * the mutex, but to prove it takes more than asking whether the tid lives: both answers stand. */
static void reused_here(void)
{
    make_plain(PTHREAD_MUTEX_NORMAL);
    own_and_die();
    for (int tries = 0; tries < 10000; tries++) {
        char path[64];
        pthread_t thread;
        next_tid(owner);
        check(pthread_create(&thread, NULL, impostor_thread, NULL), "pthread_create");
        snprintf(path, sizeof(path), "/proc/self/task/%d", owner);
        if (access(path, F_OK) == 0) {
            struct wait *wait = expect_lock(mutex, NULL, "null");
            start_thread(waiting_thread, wait);
            return;
        }
        check(pthread_join(thread, NULL), "pthread_join");
    }
    die("tid %d could not be had again", owner);
}

OWN void relock(struct wait *wait)
{
    check(pthread_mutex_lock(mutex), "lock");
    atomic_store(&owner, own_tid());
    begin_wait(wait);
    pthread_mutex_lock(mutex);
    KEEP_FRAME();
}

OWN void *relocking_thread(void *wait)
{
    relock(wait);
    KEEP_FRAME();
    return NULL;
}

/* A cycle of length one. */
static void self(void)
{
    struct wait *wait = expect_lock(mutex, &owner, "true");
    wait->stack = "relock,relocking_thread";
    make_plain(PTHREAD_MUTEX_NORMAL);
    start_thread(relocking_thread, wait);
}

/* A link of a chain: holds one mutex and waits for another. */
struct link {
    pthread_mutex_t own;
    atomic_int by;
    struct link *next;
    struct wait *wait;
};

OWN void hold_and_wait(struct link *link)
{
    check(pthread_mutex_lock(&link->own), "lock");
    atomic_store(&link->by, own_tid());
    await_nonzero(&link->next->by);
    begin_wait(link->wait);
    pthread_mutex_lock(&link->next->own);
    KEEP_FRAME();
}

OWN void *link_thread(void *link)
{
    hold_and_wait(link);
    KEEP_FRAME();
    return NULL;
}

/* Links 0 to 2 lead into the cycle of links 3 to 5. */
static void chain(void)
{
    static struct link links[6];
    for (int i = 0; i < 6; i++) {
        links[i].next = &links[i == 5 ? 3 : i + 1];
        make_mutex(&links[i].own, PTHREAD_MUTEX_NORMAL, PTHREAD_PRIO_NONE, PTHREAD_MUTEX_STALLED,
                   PTHREAD_PROCESS_PRIVATE);
    }
    for (int i = 0; i < 6; i++) {
        links[i].wait = expect_lock(&links[i].next->own, &links[i].next->by, "true");
        links[i].wait->stack = "hold_and_wait,link_thread";
        start_thread(link_thread, &links[i]);
    }
}

/* The word was freed by other means, and what is left of the owner means nothing. */
static void garbage(void)
{
    make_plain(PTHREAD_MUTEX_NORMAL);
    own_and_die();
    struct wait *wait = expect_lock(mutex, NULL, "false");
    start_thread(waiting_thread, wait);
    /* The waiter itself sets the word to 2, after which it sleeps on it. */
    while (__atomic_load_n(&mutex->__data.__lock, __ATOMIC_SEQ_CST) != 2)
        sched_yield();
    unsigned long switches;
    while (!is_blocked(wait, &switches))
        sched_yield();
    mutex->__data.__lock = 0x5a5a;
}

/* A signal handler that waits on a word of its own, in a thread that is inside of
 * pthread_mutex_lock; the word is the begin of what looks like a mutex whose owner is gone. */
static struct {
    int lock;
    unsigned count;
    int owner;
    unsigned users;
    int kind;
} lookalike = {.lock = 2, .owner = 0x3ffff0, .users = 1};
static struct wait *in_handler;

OWN void handler(int signal)
{
    (void)signal;
    begin_wait(in_handler);
    syscall(SYS_futex, &lookalike.lock, 128, 2, NULL, NULL, 0);
    KEEP_FRAME();
}

static atomic_int interrupted;

OWN void *interrupted_thread(void *unused)
{
    atomic_store(&interrupted, own_tid());
    pthread_mutex_lock(mutex);
    return unused;
}

static void in_signal_handler(void)
{
    static struct wait probe;
    unsigned long switches;
    pthread_t thread;
    make_plain(PTHREAD_MUTEX_NORMAL);
    own_and_keep();
    if (signal(SIGUSR1, handler) == SIG_ERR)
        die("signal: %s", strerror(errno));
    check(pthread_create(&thread, NULL, interrupted_thread, NULL), "pthread_create");
    probe.tid = await_nonzero(&interrupted);
    probe.began_ns = 1;
    probe.call = SYS_futex;
    while (!is_blocked(&probe, &switches))
        sched_yield();
    in_handler = expect_wait(&(struct wait){.role = "futex", .call = SYS_futex, .leaked = "false",
                                            .object = &lookalike, .size = sizeof(lookalike),
                                            .stack = "handler,interrupted_thread"});
    check(pthread_kill(thread, SIGUSR1), "pthread_kill");
}

/* Taken before a fork, a lock holds the id of the parent's thread, and the child, that thread's
 * copy, may release it. The child goes on as this program; its parent only waits for it. */
static void inherited(void)
{
    make_plain(PTHREAD_MUTEX_NORMAL);
    check(pthread_mutex_lock(mutex), "lock");
    pid_t child = fork();
    if (child < 0)
        die("fork: %s", strerror(errno));
    if (child > 0) {
        waitpid(child, NULL, 0);
        _exit(0);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct wait *wait = expect_lock(mutex, NULL, "false");
    start_thread(waiting_thread, wait);
}

static const struct {
    const char *name;
    void (*run)(void);
} modes[] = {
    {"recursive", recursive}, /* owner gone: leaked */
    {"errorcheck", errorcheck},
    {"adaptive", adaptive},
    {"robust", robust},   /* the next owner hears of the death: not leaked */
    {"inherit", inherit}, /* priority inheritance, owner alive: not leaked */
    {"robust-inherit", robust_inherit}, /* the kernel hands it on: not leaked */
    {"pshared", pshared}, /* held by another process: not leaked */
    {"sibling", sibling}, /* held by a process with the same memory: not leaked */
    {"reused-elsewhere", reused_elsewhere},
    {"reused-here", reused_here},
    {"self", self},
    {"chain", chain},
    {"garbage", garbage},                /* no mutex any more: not leaked */
    {"signal-handler", in_signal_handler}, /* waits on something else: not leaked */
    {"inherited", inherited},            /* held since before a fork: not leaked */
};

int main(int argc, char **argv)
{
    live_at_most(900);
    mutex = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (mutex == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
        if (argc == 2 && strcmp(argv[1], modes[i].name) == 0) {
            modes[i].run();
            say_ready();
            stay();
        }
    die("locks: which mode? See locks.c");
}
