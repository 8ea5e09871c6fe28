/* Codes in the order in which the grid walks over x. */
static void move${n}(const grid *restrict g, const $code *x, $code *restrict y)
{
    const int32_t *n = g->sizes, *u = g->left;
    for (int i = 0; i < n[0]; i++)
        for (int j = 0; j < n[1]; j++)
            for (int k = 0; k < n[2]; k++) {
                const $code *p = x + i * u[0] + j * u[1] + k * u[2];
                for (int m = n[3]; m > 0; m--, p += u[3]) *y++ = *p;
            }
}
