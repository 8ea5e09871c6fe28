/* What a bare board asks of its processor. */
#ifndef BARE_H
#define BARE_H

#include <stdint.h>

int semihost(int operation, const void *argument); /* Arm semihosting, which RISC-V took over */
void prepare(void);                                /* once, before anything is counted */
void run_board(void);                              /* called on reset, with a stack */
void give_up(const char *why);

#endif
