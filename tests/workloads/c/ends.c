/* A process that does not stay: 200 blocked threads, and once a line (or the end) of standard input
 * comes, the whole process
 *
 *   ends exit   exits
 *   ends exec   executes itself anew, and then waits in other functions
 */
#include "truth.h"

static int silent_pipe[2];

OWN void block_before(struct wait *wait)
{
    char byte;
    begin_wait(wait);
    if (read(silent_pipe[0], &byte, 1) != 1)
        die("read of a pipe came back");
    KEEP_FRAME();
}

OWN void *before_thread(void *wait)
{
    block_before(wait);
    KEEP_FRAME();
    return NULL;
}

OWN void block_after(struct wait *wait)
{
    char byte;
    begin_wait(wait);
    if (read(silent_pipe[0], &byte, 1) != 1)
        die("read of a pipe came back");
    KEEP_FRAME();
}

OWN void *after_thread(void *wait)
{
    block_after(wait);
    KEEP_FRAME();
    return NULL;
}

static void start(int count, void *(*routine)(void *), const char *stack)
{
    if (pipe(silent_pipe) != 0)
        die("pipe: %s", strerror(errno));
    for (int i = 0; i < count; i++)
        start_thread(routine, expect_wait(&(struct wait){.role = "pipe", .call = SYS_read,
                                                         .fd = silent_pipe[0], .stack = stack}));
    say_ready();
}

int main(int argc, char **argv)
{
    const char *mode = argc == 2 ? argv[1] : "";
    char *again[] = {argv[0], "after", NULL};
    live_at_most(900);
    if (strcmp(mode, "after") == 0) {
        start(3, after_thread, "block_after,after_thread");
        stay();
    }
    start(200, before_thread, "block_before,before_thread");
    getchar();
    if (strcmp(mode, "exec") == 0)
        execv("/proc/self/exe", again);
    return 0;
}
