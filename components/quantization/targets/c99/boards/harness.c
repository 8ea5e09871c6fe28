/* Proof on the processor: run the self-test, count its instructions, find the depth of its stack. */
#include "model.h"
#include "port.h"

#define PAINT 0xA5A5A5A5u
enum { OWN_FRAME = 256 }; /* bytes below the frame of `prove` that painting may itself be using */

void print_number(const char *name, uint32_t value)
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

static void paint_stack(const char *frame)
{
    for (volatile uint32_t *p = stack_low(); (const char *)p < frame - OWN_FRAME; p++) *p = PAINT;
}

static uint32_t stack_depth(void)
{
    const uint32_t *p = stack_low();
    while (p < stack_high() && *p == PAINT) p++;
    return (uint32_t)(stack_high() - p) * 4;
}

int prove(void)
{
    uint32_t most = 0, depth;
    int wrong = 0;
    paint_stack(__builtin_frame_address(0));
    for (int vector = 0; vector < MODEL_VECTORS; vector++) {
        uint32_t took;
        count_start();
        wrong += model_selftest_vector(vector);
        took = count_taken();
        if (took > most) most = took;
    }
    depth = stack_depth();
    print_number("mismatches", (uint32_t)wrong);
    print_number("instructions", most);
    print_number("stack", depth);
    print_number("spare", (uint32_t)(stack_high() - stack_low()) * 4 - depth);
    return wrong;
}
