/* A program on Linux: the harness on a stack of its own, so that its depth can be read. Nothing is counted; the clock
   tells the median of single windows, which means something where nothing is emulated. */
#define _XOPEN_SOURCE 700
#include "model.h"
#include "port.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static uint32_t stack[1 << 16];
static ucontext_t outside, inside;
static int wrong;

uint32_t *stack_low(void) { return stack; }
uint32_t *stack_high(void) { return stack + sizeof stack / sizeof *stack; }

void print(const char *text)
{
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) _exit(99);
}

void count_start(void) {}
uint32_t count_taken(void) { return 0; }

static void run(void) { wrong = prove(); }

enum { WARM_UP = 20, RUNS = 301 };

static int shorter(const void *a, const void *b)
{
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t median_ns(void)
{
    static uint32_t took[RUNS];
    for (int i = -WARM_UP; i < RUNS; i++) {
        struct timespec before, after;
        clock_gettime(CLOCK_MONOTONIC, &before);
        wrong |= model_selftest_vector((i + WARM_UP) % MODEL_VECTORS);
        clock_gettime(CLOCK_MONOTONIC, &after);
        if (i >= 0) took[i] = (uint32_t)((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec);
    }
    qsort(took, RUNS, sizeof *took, shorter);
    return took[RUNS / 2];
}

int main(void)
{
    if (getcontext(&inside)) return 99;
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = sizeof stack;
    inside.uc_link = &outside;
    makecontext(&inside, run, 0);
    if (swapcontext(&outside, &inside)) return 99;
    print_number("nanoseconds", median_ns());
    return wrong ? 1 : 0;
}
