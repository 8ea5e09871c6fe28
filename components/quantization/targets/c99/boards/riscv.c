/* RISC-V: entry, semihosting, and instructions by the counter of retired ones. */
#include "bare.h"
#include "port.h"

__asm__(".section .vectors,\"ax\"\n"
        ".globl reset\n"
        "reset: la t0, trap\n"
        " .option push\n .option arch, +zicsr\n csrw mtvec, t0\n .option pop\n"
        " la sp, stack_top\n"
        " j run_board\n"
        ".balign 4\n"
        "trap: la sp, stack_top\n"
        " j trapped\n"
        ".text\n");

void trapped(void);
void trapped(void) { give_up("fault\n"); }

int semihost(int operation, const void *argument)
{
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    /* The debugger knows the call by the two shifts around it, all three uncompressed and in one page. */
    __asm__ volatile(".balign 16\n .option push\n .option norvc\n slli x0, x0, 0x1f\n ebreak\n srai x0, x0, 7\n .option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
    return a0;
}

static uint32_t started;

static uint32_t retired(void)
{
    uint32_t count;
    __asm__ volatile(".option push\n .option arch, +zicsr\n rdinstret %0\n .option pop" : "=r"(count));
    return count;
}

void prepare(void) {}
void count_start(void) { started = retired(); }
uint32_t count_taken(void) { return retired() - started; }
