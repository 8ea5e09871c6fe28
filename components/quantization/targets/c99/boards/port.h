/* What the harness asks of the processor it runs on. */
#ifndef PORT_H
#define PORT_H

#include <stdint.h>

void print(const char *text);
void count_start(void);
uint32_t count_taken(void); /* instructions since count_start; 0 where none are counted */
uint32_t *stack_low(void);  /* the stack grows down to here */
uint32_t *stack_high(void);

/* The harness: */
void print_number(const char *name, uint32_t value);
int prove(void); /* returns how many vectors came out wrong */

#endif
