typedef struct {
    int32_t size[4], before[4], out[4]; /* outermost first */
    int16_t value;
} padding;

static void pad(const padding *restrict p, const int8_t *x, int8_t *restrict y)
{
    const int32_t *n = p->size, *o = p->out, *b = p->before;
    memset(y, p->value, (size_t)(o[0] * o[1] * o[2] * o[3]));
    for (int i = 0; i < n[0]; i++)
        for (int j = 0; j < n[1]; j++)
            for (int k = 0; k < n[2]; k++, x += n[3])
                memcpy(y + (((i + b[0]) * o[1] + j + b[1]) * o[2] + k + b[2]) * o[3] + b[3], x, (size_t)n[3]);
}
