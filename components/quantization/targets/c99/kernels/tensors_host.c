/* Proof on a host: inputs on standard input, outputs on standard output. */
#include "model.h"

#include <stdio.h>

int main(void)
{
    static model_in input[MODEL_INPUT_SIZE];
    static model_out output[MODEL_OUTPUT_SIZE];
    while (fread(input, sizeof input, 1, stdin) == 1) {
        model_run(input, output);
        fwrite(output, sizeof output, 1, stdout);
    }
    return 0;
}
