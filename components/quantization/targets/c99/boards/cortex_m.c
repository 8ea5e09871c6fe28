/* Cortex-M: vectors, semihosting, and instructions by SysTick. */
#include "bare.h"
#include "port.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define CPACR (*(volatile uint32_t *)0xE000ED88)
enum { COUNTED_TO_ZERO = 1 << 16 };

/* SysTick runs by a clock, the emulator by instructions: a loop of known length gives their ratio. */
enum { LOOP_INSTRUCTIONS = 4000001 };

static uint32_t loop_ticks;

int semihost(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void count_start(void)
{
    SYST_RVR = 0xFFFFFF;
    SYST_CVR = 0;
    SYST_CSR = 5;
}

static uint32_t ticks(void)
{
    const uint32_t left = SYST_CVR;
    if (SYST_CSR & COUNTED_TO_ZERO) give_up("too long for the 24 bits of SysTick\n");
    return 0xFFFFFF - left;
}

uint32_t count_taken(void) { return (uint32_t)((uint64_t)ticks() * LOOP_INSTRUCTIONS / loop_ticks); }

void prepare(void)
{
#if defined(__ARM_FP) || defined(__ARM_FEATURE_MVE)
    CPACR |= 0xFu << 20;
    __asm__ volatile("dsb\nisb");
#endif
    count_start();
    __asm__ volatile(".syntax unified\n ldr r3, =2000000\n1: subs r3, #1\n bne 1b" ::: "r3", "cc");
    loop_ticks = ticks();
}

static void fault(void) { give_up("fault\n"); }

extern uint32_t stack_top[];
void reset(void);
void reset(void) { run_board(); }

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top, reset, fault, fault, fault, fault, fault,
};
