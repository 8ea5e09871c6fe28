typedef struct {
    int32_t size, multiplier[3]; /* left, right, result */
    int8_t shift[3];
    int16_t zero[3], low, high;
} addition;

static void add(const addition *restrict s, const int8_t *a, const int8_t *b, int8_t *restrict y)
{
    for (int i = 0; i < s->size; i++) {
        const int32_t left = rescale((a[i] - s->zero[0]) * (1 << 20), s->multiplier[0], s->shift[0]);
        const int32_t right = rescale((b[i] - s->zero[1]) * (1 << 20), s->multiplier[1], s->shift[1]);
        const int32_t sum = rescale(left + right, s->multiplier[2], s->shift[2]);
        y[i] = to_code(sum + s->zero[2], s->low, s->high);
    }
}
