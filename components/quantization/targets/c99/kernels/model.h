/* $title
   C99: no heap, no floating point, nothing of the C library but memcpy and memset. Not reentrant: one inference at
   a time shares a static arena of $arena bytes. Each sensor has a state of its own. Made by Muster; do not edit. */
#ifndef MODEL_H
#define MODEL_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MODEL_INTERFACE "$interface"
#define MODEL_DIGEST "$digest" /* of the trained model */

#define MODEL_STEPS $steps       /* samples in a window */
#define MODEL_STRIDE $stride      /* samples from one window to the next */
#define MODEL_CHANNELS $channels    /* values in a sample */
#define MODEL_TASKS $tasks       /* tasks that have classes */
#define MODEL_VALUES $values      /* tasks that have a value */
#define MODEL_CALIBRATION_STEPS $calibration_steps /* samples in each of the two phases of calibration */
#define MODEL_THRESHOLD $threshold   /* surprise from which a window counts towards an alarm */
#define MODEL_VECTORS $vectors
#define MODEL_MISSING INT16_MIN /* in place of a value that the sensor did not give */

/* A sample in this order; physical = raw * lsb + offset:
$channel_list */

$class_list$value_list/* One sensor. Every field may be kept over a restart; none needs to be read. */
typedef struct {
    int32_t center[MODEL_CHANNELS], multiplier[MODEL_CHANNELS];
    uint64_t sum[MODEL_CHANNELS];
    int32_t mean[MODEL_CHANNELS];
    uint32_t count[MODEL_CHANNELS];
    uint32_t samples;
    uint16_t run;
    uint8_t alarm;
} model_state;

typedef struct {
    int32_t surprise; /* 1/256 bits: 256 * -log2(share of normal windows that score at least as high) */
#if MODEL_VALUES > 0
    int32_t values[MODEL_VALUES]; /* see the units above */
#endif
    uint8_t alarm;    /* 1 from $raise_after windows in a row at or above the threshold until $clear_after below it */
#if MODEL_TASKS > 0
    int8_t classes[MODEL_TASKS]; /* see the enumerations above */
#endif
} model_result;

/* Forget everything: call once a sensor. */
void model_init(model_state *state);

/* Learn the sensor's scaling from one sample. Returns 1 while it wants more, then 0 for ever; until then a scaling
   of the whole fleet serves, and results are preliminary. */
int model_calibrate(model_state *state, const int16_t sample[MODEL_CHANNELS]);

/* Judge one window, oldest sample first. */
void model_run(model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS], model_result *result);

/* The latest samples of one sensor. All zeros is an empty one; keep none over a gap in time. */
typedef struct {
    int16_t window[MODEL_STEPS][MODEL_CHANNELS];
    uint16_t filled, skip;
} model_stream;

/* Take one sample as it comes: learns the scaling from the first ones, then judges a window every MODEL_STRIDE samples, as in
   training. Returns 1 when it did and result is filled. */
int model_push(model_state *state, model_stream *stream, const int16_t sample[MODEL_CHANNELS], model_result *result);

/* Run the vectors of model_selftest.c; returns how many come out wrong: 0 on a sound device. */
int model_selftest(void);
int model_selftest_vector(int vector); /* 1 when it comes out wrong */

#ifdef __cplusplus
}
#endif
#endif
