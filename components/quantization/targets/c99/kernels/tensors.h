/* $title
   C99: no heap, no floating point, nothing of the C library but memcpy and memset. Not reentrant: one inference at
   a time in a static arena. Made by Muster; do not edit. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_INTERFACE "$interface"
#define MODEL_DIGEST "$digest" /* SHA-256 of the .tflite */
#define MODEL_ARENA $arena /* bytes */
#define MODEL_MACS $macs /* multiply-accumulates of one inference */
#define MODEL_VECTORS $vectors

typedef $input model_in;
typedef $output model_out;

/* Tensors of $codes codes, innermost axis last: value = (code - ZERO) * MANTISSA * 2^(EXPONENT - 31). */
$ports
$classes/* Where an input may be written that needs no memory of its own: inside the arena. A run overwrites it. */
model_in *model_input(void);

/* One inference. input: model_input(), or MODEL_INPUT_SIZE codes elsewhere, which stay as they are.
   output: MODEL_OUTPUT_SIZE codes, each output from its MODEL_OUTPUT<n>_AT on. */
void model_run(const model_in *input, model_out *output);

/* Run the vectors of model_selftest.c; returns how many come out wrong: 0 on a sound device. */
int model_selftest(void);
int model_selftest_vector(int vector); /* 1 when it comes out wrong */

#ifdef __cplusplus
}
#endif
#endif
