typedef struct {
    int32_t outer, reduced, inner, multiplier;
    int8_t shift;
    int16_t in_zero, out_zero;
} reduction;

/* Mean or maximum over the middle axis. */
static void reduce(const reduction *restrict r, const int8_t *x, int8_t *restrict y, int largest)
{
    for (int i = 0; i < r->outer; i++, x += r->reduced * r->inner)
        for (int j = 0; j < r->inner; j++) {
            int32_t sum = -r->reduced * r->in_zero, most = -128;
            for (int k = 0; k < r->reduced; k++) {
                const int8_t code = x[k * r->inner + j];
                sum += code;
                if (code > most) most = code;
            }
            *y++ = to_code(largest ? most : rescale(sum, r->multiplier, r->shift) + r->out_zero, -128, 127);
        }
}
