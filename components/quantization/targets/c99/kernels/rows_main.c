/* An example of use: supply read_row and report for your board. */
#include "model.h"

int read_row(model_sample features[MODEL_FEATURES]); /* waits for the next samples; 0 when there are none */
void report(const int32_t margins[MODEL_OUTPUTS]);

int main(void)
{
    model_sample features[MODEL_FEATURES];
    int32_t margins[MODEL_OUTPUTS];

    if (model_selftest() != 0) return 1; /* a device that computes wrongly must not judge */
    while (read_row(features)) {
        model_run(features, margins);
        report(margins);
    }
    return 0;
}
