/* $title
   C99: no heap, no floating point, no memory of its own: reentrant. Made by Muster; do not edit. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_INTERFACE "$interface"
#define MODEL_DIGEST "$digest" /* SHA-256 of the imported file */
#define MODEL_FEATURES $features
#define MODEL_OUTPUTS $outputs
#define MODEL_MISSING INT${sample_bits}_MIN /* a sample that is not there */
#define MODEL_BITS ($bits) /* a margin is in 2^-MODEL_BITS of the trained model's */
#define MODEL_VECTORS $vectors

typedef int${sample_bits}_t model_sample;

/* Samples: number = raw * lsb + offset, raw within -$highest and $highest.
$feature_list */

$classes/* margins of one row: the sums of the trees, bias included. */
void model_run(const model_sample features[MODEL_FEATURES], int32_t margins[MODEL_OUTPUTS]);
$decides
/* Run the vectors of model_selftest.c; returns how many come out wrong: 0 on a sound device. */
int model_selftest(void);
int model_selftest_vector(int vector); /* 1 when it comes out wrong */

#ifdef __cplusplus
}
#endif
#endif
