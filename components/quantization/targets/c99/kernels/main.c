/* An example of use: supply read_sample and report for your board. */
#include "model.h"

int read_sample(int16_t sample[MODEL_CHANNELS]); /* waits for the next sample; 0 when there is none */
void report(const model_result *result);

int main(void)
{
    static model_state state;
    static int16_t window[MODEL_STEPS][MODEL_CHANNELS];
    model_result result;
    int filled = 0;

    if (model_selftest() != 0) return 1; /* a device that computes wrongly must not judge */
    model_init(&state);
    while (read_sample(window[filled])) {
        if (model_calibrate(&state, window[filled])) continue;
        if (++filled < MODEL_STEPS) continue;
        model_run(&state, (const int16_t(*)[MODEL_CHANNELS])window, &result);
        report(&result);
        filled = 0;
    }
    return 0;
}
