/* Whether this machine computes what the model was proven to: prints the vectors that came out wrong, exits 1 if any did. */
#include "model.h"

#include <stdio.h>

int main(void)
{
    const int wrong = model_selftest();
    printf("mismatches %d of %d, model %s\n", wrong, MODEL_VECTORS, MODEL_DIGEST);
    return wrong != 0;
}
