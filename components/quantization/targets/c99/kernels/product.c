typedef struct {
    grid over;
    int32_t multiplier;
    int8_t shift;
    int16_t zero[3], low, high;
} product${n};

static void multiply${n}(const product${n} *restrict s, const $code *a, const $code *b, $code *y)
{
    const int32_t *n = s->over.sizes, *u = s->over.left, *v = s->over.right;
    for (int i = 0; i < n[0]; i++)
        for (int j = 0; j < n[1]; j++)
            for (int k = 0; k < n[2]; k++) {
                const $code *p = a + i * u[0] + j * u[1] + k * u[2], *q = b + i * v[0] + j * v[1] + k * v[2];
                for (int m = n[3]; m > 0; m--, p += u[3], q += v[3]) {
                    const int32_t whole = rescale${n}((*p - s->zero[0]) * (*q - s->zero[1]), s->multiplier, s->shift);
                    *y++ = to_code${n}(whole + s->zero[2], s->low, s->high);
                }
            }
}
