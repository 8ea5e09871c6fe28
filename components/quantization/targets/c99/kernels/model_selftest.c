/* $title: self-test. Linked only where model_selftest is called. Made by Muster; do not edit. */
#include "model.h"

#include <string.h>

$tables

int model_selftest_vector(int vector)
{
    static model_state state;
    model_result result;
    int wrong;
    model_init(&state);
    memcpy(state.center, CENTER, sizeof state.center);
    memcpy(state.multiplier, MULTIPLIER, sizeof state.multiplier);
    model_run(&state, RAW[vector], &result);
    wrong = result.surprise != SURPRISE[vector];
#if MODEL_TASKS > 0
    for (int task = 0; task < MODEL_TASKS; task++) wrong |= result.classes[task] != CLASSES[vector][task];
#endif
#if MODEL_VALUES > 0
    for (int value = 0; value < MODEL_VALUES; value++) wrong |= result.values[value] != VALUES[vector][value];
#endif
    return wrong;
}

int model_selftest(void)
{
    int wrong = 0;
    for (int vector = 0; vector < MODEL_VECTORS; vector++) wrong += model_selftest_vector(vector);
    return wrong;
}
