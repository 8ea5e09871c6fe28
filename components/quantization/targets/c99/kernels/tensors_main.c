/* An example of use: supply read_input and report for your board. */
#include "model.h"

int read_input(model_in input[MODEL_INPUT_SIZE]); /* waits for the next input, as codes; 0 when there is none */
void report(const model_out output[MODEL_OUTPUT_SIZE]);

int main(void)
{
    static model_out output[MODEL_OUTPUT_SIZE];

    if (model_selftest() != 0) return 1; /* a device that computes wrongly must not judge */
    while (read_input(model_input())) {
        model_run(model_input(), output);
        report(output);
    }
    return 0;
}
