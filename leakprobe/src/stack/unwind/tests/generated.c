/* Code without a file, as a JIT makes it. "chain": two such frames call each other and wait.
   "circle": frame pointers on a stack of their own that lead in a circle; read() waits with the
   addresses of the frames and of the code as its arguments. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define KEPT __attribute__((noinline))
#define AFTER() __asm__ volatile("" ::: "memory")

static int ends[2];

KEPT void wait_for_ever(void) {
    char byte;
    if (read(ends[0], &byte, 1) < 0)
        abort();
    AFTER();
}

KEPT void through(void (*code)(void *, void *), void *second) {
    code(second, (void *)wait_for_ever);
    AFTER();
}

int main(int argc, char **argv) {
    /* push %rbp; mov %rsp,%rbp; mov %rdi,%rax; mov %rsi,%rdi; call *%rax; pop %rbp; ret */
    static const unsigned char bytes[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0xf8, 0x48,
                                          0x89, 0xf7, 0xff, 0xd0, 0x5d, 0xc3};
    unsigned char *code = mmap(NULL, 8192, PROT_READ | PROT_WRITE | PROT_EXEC,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint64_t *stack = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (argc != 2 || pipe(ends) || code == MAP_FAILED || stack == MAP_FAILED)
        return 1;
    memcpy(code, bytes, sizeof bytes);
    memcpy(code + 256, bytes, sizeof bytes);
    puts("ready");
    fflush(stdout);
    if (!strcmp(argv[1], "chain")) {
        through((void (*)(void *, void *))code, code + 256);
    } else {
        uint64_t *frames = stack + 512;
        uint64_t after_call = (uint64_t)code + 12;
        /* On to the next, which leads back; to itself; and out of the stack. */
        frames[0] = (uint64_t)(frames + 2);
        frames[2] = (uint64_t)frames;
        frames[4] = (uint64_t)(frames + 4);
        frames[6] = 8;
        frames[1] = frames[3] = frames[5] = frames[7] = after_call;
        syscall(SYS_read, ends[0], frames, 1L, code);
    }
    AFTER();
    return 0;
}
