typedef struct {
    int32_t size[4], before[4], out[4]; /* outermost first */
    int16_t value;
} padding${n};

static void pad${n}(const padding${n} *restrict p, const $code *x, $code *restrict y)
{
    const int32_t *n = p->size, *o = p->out, *b = p->before;
    for (int32_t i = o[0] * o[1] * o[2] * o[3] - 1; i >= 0; i--) y[i] = ($code)p->value;
    for (int i = 0; i < n[0]; i++)
        for (int j = 0; j < n[1]; j++)
            for (int k = 0; k < n[2]; k++, x += n[3])
                memcpy(y + (((i + b[0]) * o[1] + j + b[1]) * o[2] + k + b[2]) * o[3] + b[3], x, (size_t)n[3] * sizeof *x);
}
