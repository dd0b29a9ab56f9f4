/* As many threads as the argument says, in 256 distinct stacks, all on one condition variable. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT __attribute__((noinline))
#define AFTER() __asm__ volatile("" ::: "memory")

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t all;

KEPT int left(int way, int depth);
KEPT int right(int way, int depth);

KEPT int next(int way, int depth) {
    if (depth == 8) {
        pthread_barrier_wait(&all);
        pthread_mutex_lock(&mutex);
        for (;;)
            pthread_cond_wait(&never, &mutex);
    }
    int sum = way & 1 ? left(way >> 1, depth + 1) : right(way >> 1, depth + 1);
    AFTER();
    return sum + 1;
}

KEPT int left(int way, int depth) {
    char bytes[100];
    __asm__ volatile("" ::"r"(bytes) : "memory");
    int sum = next(way, depth);
    AFTER();
    return sum + bytes[0];
}

KEPT int right(int way, int depth) {
    int sum = next(way, depth);
    AFTER();
    return sum * 3;
}

KEPT void *routine(void *way) {
    next((int)(long)way, 0);
    AFTER();
    return NULL;
}

int main(int argc, char **argv) {
    int count = argc == 2 ? atoi(argv[1]) : 0;
    pthread_attr_t attributes;
    pthread_barrier_init(&all, NULL, count + 1);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 64 << 10);
    for (int i = 0; i < count; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, routine, (void *)(long)i))
            return 1;
    }
    pthread_barrier_wait(&all);
    puts("ready");
    fflush(stdout);
    for (;;)
        getchar();
}
