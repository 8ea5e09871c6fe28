typedef struct {
    grid over;
    int32_t multiplier[3]; /* left, right, result */
    int8_t shift[3], sign;
    int16_t zero[3], low, high;
} addition${n};

static void add${n}(const addition${n} *restrict s, const $code *a, const $code *b, $code *y)
{
    const int32_t *n = s->over.sizes, *u = s->over.left, *v = s->over.right;
    for (int i = 0; i < n[0]; i++)
        for (int j = 0; j < n[1]; j++)
            for (int k = 0; k < n[2]; k++) {
                const $code *p = a + i * u[0] + j * u[1] + k * u[2], *q = b + i * v[0] + j * v[1] + k * v[2];
                for (int m = n[3]; m > 0; m--, p += u[3], q += v[3]) {
                    const int32_t left = rescale${n}((*p - s->zero[0]) * (1 << $headroom), s->multiplier[0], s->shift[0]);
                    const int32_t right = rescale${n}((*q - s->zero[1]) * (1 << $headroom), s->multiplier[1], s->shift[1]);
                    const int32_t sum = rescale${n}(left + s->sign * right, s->multiplier[2], s->shift[2]);
                    *y++ = to_code${n}(sum + s->zero[2], s->low, s->high);
                }
            }
}
