/* $title: self-test. Linked only where model_selftest is called. Made by Muster; do not edit. */
#include "model.h"

$tables
int model_selftest_vector(int vector)
{
    static model_out output[MODEL_OUTPUT_SIZE];
    int wrong = 0;
    model_run(INPUTS[vector], output);
    for (int i = 0; i < MODEL_OUTPUT_SIZE; i++) wrong |= output[i] != OUTPUTS[vector][i];
    return wrong;
}

int model_selftest(void)
{
    int wrong = 0;
    for (int vector = 0; vector < MODEL_VECTORS; vector++) wrong += model_selftest_vector(vector);
    return wrong;
}
