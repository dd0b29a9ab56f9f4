/* A process that uses as much CPU as another did, and does nothing else.
 *
 * burner SECONDS BUSY_US PERIOD_US   in each period, computes for BUSY_US of its own CPU time
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

static int64_t clock_us(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    int64_t busy = atoll(argv[2]), period = atoll(argv[3]);
    int64_t start = clock_us(CLOCK_MONOTONIC), end = start + atoll(argv[1]) * 1000000;
    int64_t debt_paid_at = clock_us(CLOCK_PROCESS_CPUTIME_ID);
    for (int64_t due = start; due < end; due += period) {
        struct timespec until = {due / 1000000, due % 1000000 * 1000};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        debt_paid_at += busy;
        while (clock_us(CLOCK_PROCESS_CPUTIME_ID) < debt_paid_at && clock_us(CLOCK_MONOTONIC) < end)
            continue;
    }
    return 0;
}
