/* Stacks and names that are hard to read.
 *
 * frames signal   blocked in handlers: of a signal sent by a call, and of a fault between calls
 * frames deep     blocked under 2,000 frames of recursion
 * frames vfork    blocked in vfork until the child ends
 * frames names    threads whose names look like other things
 */
#include "truth.h"

#include <signal.h>
#include <sys/prctl.h>

static int silent_pipe[2];

OWN void read_for_ever(struct wait *wait)
{
    char byte;
    begin_wait(wait);
    if (read(silent_pipe[0], &byte, 1) != 1)
        die("read of a pipe came back");
    KEEP_FRAME();
}

static __thread struct wait *handler_wait;

OWN void handle_signal(int number)
{
    (void)number;
    read_for_ever(handler_wait);
    KEEP_FRAME();
}

OWN void signal_self(void)
{
    pthread_kill(pthread_self(), SIGUSR1);
    KEEP_FRAME();
}

OWN void *signalled_thread(void *wait)
{
    handler_wait = wait;
    signal_self();
    KEEP_FRAME();
    return NULL;
}

/* The interrupted instruction is not a call, and is its function's first: an unwinder that looks
 * one byte before it finds another function. */
__attribute__((naked, used)) void touch_nothing(void *at)
{
    (void)at;
    __asm__("movl (%rdi), %eax\n\tret");
}

OWN void *faulting_thread(void *wait)
{
    handler_wait = wait;
    touch_nothing(NULL);
    KEEP_FRAME();
    return NULL;
}

static void signals(void)
{
    struct sigaction action = {.sa_handler = handle_signal, .sa_flags = SA_NODEFER};
    if (sigaction(SIGUSR1, &action, NULL) != 0 || sigaction(SIGSEGV, &action, NULL) != 0)
        die("sigaction: %s", strerror(errno));
    start_thread(signalled_thread,
                 expect_wait(&(struct wait){
                     .role = "pipe", .call = SYS_read, .fd = silent_pipe[0],
                     .stack = "read_for_ever,handle_signal,signal_self,signalled_thread"}));
    start_thread(faulting_thread,
                 expect_wait(&(struct wait){
                     .role = "pipe", .call = SYS_read, .fd = silent_pipe[0],
                     .stack = "read_for_ever,handle_signal,touch_nothing,faulting_thread"}));
}

OWN void recurse(struct wait *wait, int depth)
{
    if (depth == 0)
        read_for_ever(wait);
    else
        recurse(wait, depth - 1);
    KEEP_FRAME();
}

OWN void *deep_thread(void *wait)
{
    recurse(wait, 2000);
    KEEP_FRAME();
    return NULL;
}

static void deep(void)
{
    start_thread(deep_thread,
                 expect_wait(&(struct wait){.role = "pipe", .call = SYS_read,
                                            .fd = silent_pipe[0],
                                            .stack = "read_for_ever,recurse,*"}));
}

OWN void fork_and_wait(struct wait *wait)
{
    begin_wait(wait);
    pid_t child = vfork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            pause();
    }
    KEEP_FRAME();
}

OWN void *vfork_thread(void *wait)
{
    fork_and_wait(wait);
    KEEP_FRAME();
    return NULL;
}

static void vforks(void)
{
    start_thread(vfork_thread, expect_wait(&(struct wait){.role = "vfork", .call = SYS_vfork,
                                                          .stack = "fork_and_wait,vfork_thread"}));
}

OWN void *named_thread(void *argument)
{
    struct wait *wait = argument;
    /* The names in the truth are written as JSON; these are their bytes. */
    prctl(PR_SET_NAME, wait->object);
    wait->object = NULL;
    read_for_ever(wait);
    KEEP_FRAME();
    return NULL;
}

static void names(void)
{
    static const struct {
        const char *bytes, *json;
    } all[] = {
        {"pool-worker-7", "pool-worker-7"},
        {"a) S 1 (b", "a) S 1 (b"},        /* ends a field of /proc/PID/stat early */
        {"x\nState:\tR", "x\\nState:\\tR"}, /* looks like a line of /proc/PID/status */
        {"\033[31mred", "\\u001b[31mred"},  /* would colour a terminal */
        {"fifteen bytes..", "fifteen bytes.."},
        {"dr\303\274ben", "dr\303\274ben"},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        start_thread(named_thread,
                     expect_wait(&(struct wait){.role = "pipe", .call = SYS_read,
                                                .fd = silent_pipe[0], .name = all[i].json,
                                                .object = all[i].bytes,
                                                .stack = "read_for_ever,named_thread"}));
}

int main(int argc, char **argv)
{
    const char *mode = argc == 2 ? argv[1] : "";
    live_at_most(900);
    if (pipe(silent_pipe) != 0)
        die("pipe: %s", strerror(errno));
    if (strcmp(mode, "signal") == 0)
        signals();
    else if (strcmp(mode, "deep") == 0)
        deep();
    else if (strcmp(mode, "vfork") == 0)
        vforks();
    else if (strcmp(mode, "names") == 0)
        names();
    else
        die("frames: which mode? See frames.c");
    say_ready();
    stay();
}
