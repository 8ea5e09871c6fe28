/* Proof on a host: devices with windows on standard input, verdicts on standard output; native byte order.
   A device is int32 count, center[], multiplier[]; a window is int16 raw[][]; a verdict is int32 surprise, alarm,
   classes[], values[]. */
#include "model.h"

#include <stdio.h>
#include <string.h>

static int windows_of_one_device(void)
{
    static int16_t raw[MODEL_STEPS][MODEL_CHANNELS];
    static model_state state;
    int32_t count;
    if (fread(&count, sizeof count, 1, stdin) != 1) return 0;
    model_init(&state);
    if (fread(state.center, sizeof state.center, 1, stdin) != 1) return 0;
    if (fread(state.multiplier, sizeof state.multiplier, 1, stdin) != 1) return 0;
    while (count-- > 0) {
        model_result result;
        int32_t verdict[2 + MODEL_TASKS + MODEL_VALUES];
        if (fread(raw, sizeof raw, 1, stdin) != 1) return 0;
        model_run(&state, (const int16_t(*)[MODEL_CHANNELS])raw, &result);
        verdict[0] = result.surprise;
        verdict[1] = result.alarm;
#if MODEL_TASKS > 0
        for (int task = 0; task < MODEL_TASKS; task++) verdict[2 + task] = result.classes[task];
#endif
#if MODEL_VALUES > 0
        for (int value = 0; value < MODEL_VALUES; value++) verdict[2 + MODEL_TASKS + value] = result.values[value];
#endif
        fwrite(verdict, sizeof verdict, 1, stdout);
    }
    return 1;
}

int main(void)
{
    fprintf(stderr, "mismatches %d state %u\n", model_selftest(), (unsigned)sizeof(model_state));
    while (windows_of_one_device()) {}
    return 0;
}
