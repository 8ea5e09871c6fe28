/* An example of use: supply read_sample and report for your board. */
#include "model.h"

int read_sample(int16_t sample[MODEL_CHANNELS]); /* waits for the next sample; 0 when there is none */
void report(const model_result *result);

int main(void)
{
    static model_state state;
    static model_stream stream; /* zero to begin with */
    int16_t sample[MODEL_CHANNELS];
    model_result result;

    if (model_selftest() != 0) return 1; /* a device that computes wrongly must not judge */
    model_init(&state);
    while (read_sample(sample))
        if (model_push(&state, &stream, sample, &result)) report(&result);
    return 0;
}
