/* Proof on a host: rows on standard input, margins on standard output. */
#include "model.h"

#include <stdio.h>

int main(void)
{
    model_sample features[MODEL_FEATURES];
    int32_t margins[MODEL_OUTPUTS];
    while (fread(features, sizeof features, 1, stdin) == 1) {
        model_run(features, margins);
        fwrite(margins, sizeof margins, 1, stdout);
    }
    return 0;
}
