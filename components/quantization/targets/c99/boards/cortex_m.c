/* Bare-metal proof on an emulated Cortex-M: run the self-test, count its instructions, find the depth of its stack.
   Arm semihosting prints the result and ends the emulator. */
#include "model.h"

extern uint32_t data_image[], data_start[], data_end[], bss_start[], bss_end[], stack_bottom[], stack_top[];

static int semihost(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void print(const char *text) { semihost(0x04, text); } /* SYS_WRITE0 */

static void print_number(const char *name, uint32_t value)
{
    char digits[12];
    int i = sizeof digits - 1;
    digits[i] = 0;
    do digits[--i] = (char)('0' + value % 10);
    while (value /= 10);
    print(name);
    print(" ");
    print(digits + i);
    print("\n");
}

static void leave(uint32_t code)
{
    const uint32_t reason[2] = {0x20026, code}; /* ADP_Stopped_ApplicationExit */
    semihost(0x20, reason);                     /* SYS_EXIT_EXTENDED */
    for (;;) {}
}

#define SYST_CSR (*(volatile uint32_t *)0xE000E010)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018)
#define CPACR (*(volatile uint32_t *)0xE000ED88)

static void start_ticks(void)
{
    SYST_RVR = 0xFFFFFF;
    SYST_CVR = 0;
    SYST_CSR = 5;
}

static uint32_t ticks(void) { return 0xFFFFFF - SYST_CVR; }

/* SysTick runs by a clock, the emulator by instructions: a loop of known length gives their ratio. */
enum { LOOP_INSTRUCTIONS = 4000001 };

static uint32_t loop_ticks(void)
{
    start_ticks();
    __asm__ volatile("ldr r3, =2000000\n1: subs r3, #1\n bne 1b" ::: "r3", "cc");
    return ticks();
}

static uint32_t stack_depth(void)
{
    const uint32_t *p = stack_bottom;
    while (p < stack_top && *p == 0xA5A5A5A5u) p++;
    return (uint32_t)(stack_top - p) * 4;
}

static uint32_t prove(void)
{
    const uint32_t reference = loop_ticks();
    uint32_t most = 0, wrong = 0;
    for (int vector = 0; vector < MODEL_VECTORS; vector++) {
        uint32_t took;
        start_ticks();
        wrong += (uint32_t)model_selftest_vector(vector);
        took = ticks();
        if (took > most) most = took;
    }
    print_number("mismatches", wrong);
    print_number("instructions", (uint32_t)((uint64_t)most * LOOP_INSTRUCTIONS / reference));
    print_number("stack", stack_depth());
    return wrong;
}

void reset(void);
void reset(void)
{
#if defined(__ARM_FP)
    CPACR |= 0xFu << 20;
    __asm__ volatile("dsb\nisb");
#endif
    for (uint32_t *from = data_image, *to = data_start; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;) *to++ = 0;
    for (volatile uint32_t *p = stack_bottom; (uint32_t)p < (uint32_t)__builtin_frame_address(0) - 256u; p++) *p = 0xA5A5A5A5u;
    leave(prove() ? 1 : 0);
}

static void fault(void)
{
    print("fault\n");
    leave(99);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top, reset, fault, fault, fault, fault, fault,
};
