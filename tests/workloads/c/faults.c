/* Memory whose reading blocks: pages that belong to a userfaultfd which nobody serves.
 *
 *   one thread in a page fault there
 *   one on a mutex that lies there
 *   one whose own stack, above the frames it needs, lies there
 *
 * A reader that touches these pages from outside (process_vm_readv) never returns.
 */
#include "truth.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PAGE 4096
#define STACK (64 * PAGE)

static int fault_fd, silent_pipe[2];

static char *pages(size_t size)
{
    char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        die("mmap: %s", strerror(errno));
    return at;
}

/* Takes the pages away; from now on whoever touches them waits. */
static void withdraw(char *at, size_t size)
{
    struct uffdio_register range = {
        .range = {.start = (uintptr_t)at, .len = size},
        .mode = UFFDIO_REGISTER_MODE_MISSING,
    };
    if (ioctl(fault_fd, UFFDIO_REGISTER, &range) != 0)
        die("UFFDIO_REGISTER: %s", strerror(errno));
    if (madvise(at, size, MADV_DONTNEED) != 0)
        die("madvise: %s", strerror(errno));
}

static char *absent;

OWN void touch_absent(struct wait *wait)
{
    begin_wait(wait);
    *(volatile char *)absent = 1;
    KEEP_FRAME();
}

OWN void *fault_thread(void *wait)
{
    touch_absent(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void wait_on_hidden_mutex(struct wait *wait)
{
    begin_wait(wait);
    pthread_mutex_lock((pthread_mutex_t *)wait->object);
    KEEP_FRAME();
}

OWN void *hidden_mutex_thread(void *wait)
{
    wait_on_hidden_mutex(wait);
    KEEP_FRAME();
    return NULL;
}

/* The pages between the start routine's frame and the reading frames are left in place. */
static char *kept_until;

OWN void read_below(struct wait *wait)
{
    char byte;
    begin_wait(wait);
    if (read(silent_pipe[0], &byte, 1) != 1)
        die("read of a pipe came back");
    KEEP_FRAME();
}

OWN void *hidden_stack_thread(void *wait)
{
    volatile char room[8 * PAGE];
    room[0] = 0;
    kept_until = (char *)(((uintptr_t)room + 2 * PAGE) & -(uintptr_t)PAGE);
    read_below(wait);
    KEEP_FRAME();
    return NULL;
}

static void await_rest(struct wait *wait)
{
    unsigned long switches;
    struct timespec t = {0, 1000000};
    while (!is_blocked(wait, &switches))
        nanosleep(&t, NULL);
}

static void hide_a_mutex(void)
{
    char *page = pages(PAGE);
    struct wait *wait = expect_wait(&(struct wait){
        .role = "unreadable", .call = SYS_futex, .object = page, .size = sizeof(pthread_mutex_t),
        .stack = "wait_on_hidden_mutex,hidden_mutex_thread"});
    check(pthread_mutex_init((pthread_mutex_t *)page, NULL), "pthread_mutex_init");
    check(pthread_mutex_lock((pthread_mutex_t *)page), "lock");
    start_thread(hidden_mutex_thread, wait);
    await_rest(wait);
    withdraw(page, PAGE);
}

static void hide_a_stack(void)
{
    char *stack = pages(STACK);
    pthread_attr_t attributes;
    pthread_t thread;
    struct wait *wait = expect_wait(&(struct wait){
        .role = "unreadable", .call = SYS_read, .fd = silent_pipe[0], .stack = "read_below,*"});
    check(pthread_attr_init(&attributes), "pthread_attr_init");
    check(pthread_attr_setstack(&attributes, stack, STACK), "pthread_attr_setstack");
    check(pthread_create(&thread, &attributes, hidden_stack_thread, wait), "pthread_create");
    await_rest(wait);
    withdraw(kept_until, (size_t)(stack + STACK - kept_until));
}

int main(void)
{
    struct uffdio_api api = {.api = UFFD_API};
    live_at_most(900);
    fault_fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (fault_fd < 0 || ioctl(fault_fd, UFFDIO_API, &api) != 0)
        die("userfaultfd: %s", strerror(errno));
    if (pipe(silent_pipe) != 0)
        die("pipe: %s", strerror(errno));
    hide_a_mutex();
    hide_a_stack();
    absent = pages(16 * PAGE);
    withdraw(absent, 16 * PAGE);
    start_thread(fault_thread, expect_wait(&(struct wait){.role = "fault", .call = IN_PAGE_FAULT,
                                                          .stack = "touch_absent,fault_thread"}));
    say_ready();
    stay();
}
