/* A thread that waits in read() for ever, below a chain of functions that the argument chooses. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEPT __attribute__((noinline))
#define AFTER() __asm__ volatile("" ::: "memory")

static int ends[2];
static const char *mode;

KEPT void wait_for_ever(void) {
    char byte;
    if (read(ends[0], &byte, 1) < 0)
        abort();
    AFTER();
}

KEPT int inner(int a, int b) {
    /* Enough live values to need callee-saved registers. */
    int c = a * b, d = a ^ b, e = a + 7 * b;
    wait_for_ever();
    AFTER();
    return a + b + c + d + e;
}

KEPT int middle(int a) {
    char text[200];
    snprintf(text, sizeof text, "%d", a);
    int b = inner(a, (int)strlen(text));
    AFTER();
    return b + text[0];
}

KEPT int outer(int a) {
    int b = middle(a + 1);
    AFTER();
    return b * 2;
}

KEPT int aligned(int a) {
    char text[100] __attribute__((aligned(64)));
    char *more = __builtin_alloca(a);
    memset(text, a, sizeof text);
    more[0] = 1;
    int b = inner(a, (int)((unsigned long)text % 64));
    AFTER();
    return b + text[3] + more[0];
}

KEPT int large(int a) {
    volatile char bytes[300000];
    bytes[0] = (char)a;
    bytes[299999] = (char)a;
    int b = inner(a, bytes[0]);
    AFTER();
    return b + bytes[299999];
}

KEPT int down(int a) {
    int b = a == 0 ? inner(a, 1) : down(a - 1);
    AFTER();
    return b + 1;
}

KEPT void handler(int number) {
    inner(number, 1);
    AFTER();
}

KEPT void interrupted(void) {
    raise(SIGUSR1);
    AFTER();
}

KEPT void *routine(void *arg) {
    if (!strcmp(mode, "plain") || !strcmp(mode, "leader"))
        outer(*(int *)arg);
    else if (!strcmp(mode, "aligned"))
        aligned(*(int *)arg);
    else if (!strcmp(mode, "large"))
        large(*(int *)arg);
    else if (!strcmp(mode, "short"))
        down(200);
    else if (!strcmp(mode, "deep"))
        down(2000);
    else if (!strcmp(mode, "signal"))
        interrupted();
    else if (!strcmp(mode, "altstack")) {
        stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
        sigaltstack(&stack, NULL);
        interrupted();
    }
    AFTER();
    return NULL;
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    pthread_t thread;
    pthread_attr_t attributes;
    int number = 40;
    if (argc != 2 || pipe(ends) || sigaction(SIGUSR1, &action, NULL))
        return 1;
    mode = argv[1];
    /* musl's default is 128 KiB. */
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 8 << 20);
    if (pthread_create(&thread, &attributes, routine, &number))
        return 1;
    puts("ready");
    fflush(stdout);
    if (!strcmp(mode, "leader"))
        pthread_exit(NULL);
    /* To its end when the test's process has ended and with it our standard input. */
    struct pollfd input = {.fd = 0};
    poll(&input, 1, -1);
    AFTER();
    return 0;
}
