/* What bare boards share: memory before main, printing and leaving by semihosting. */
#include "bare.h"
#include "port.h"

extern uint32_t data_image[], data_start[], data_end[], bss_start[], bss_end[], stack_bottom[], stack_top[];

uint32_t *stack_low(void) { return stack_bottom; }
uint32_t *stack_high(void) { return stack_top; }

void print(const char *text) { semihost(0x04, text); } /* SYS_WRITE0 */

static void leave(uint32_t code)
{
    const uint32_t reason[2] = {0x20026, code}; /* ADP_Stopped_ApplicationExit */
    semihost(0x20, reason);                     /* SYS_EXIT_EXTENDED */
    for (;;) {}
}

void give_up(const char *why)
{
    print(why);
    leave(99);
}

void run_board(void)
{
    for (uint32_t *from = data_image, *to = data_start; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;) *to++ = 0;
    prepare();
    leave(prove() ? 1 : 0);
}
