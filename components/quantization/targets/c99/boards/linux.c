/* A program on Linux: the harness on a stack of its own, so that its depth can be read. Nothing is counted. */
#define _XOPEN_SOURCE 700
#include "port.h"

#include <string.h>
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

int main(void)
{
    if (getcontext(&inside)) return 99;
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = sizeof stack;
    inside.uc_link = &outside;
    makecontext(&inside, run, 0);
    if (swapcontext(&outside, &inside)) return 99;
    return wrong ? 1 : 0;
}
