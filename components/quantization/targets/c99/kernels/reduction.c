typedef struct {
    int32_t outer, reduced, inner, multiplier;
    int8_t shift;
    int16_t in_zero, out_zero;
} reduction${n};

/* Mean or maximum over the middle axis. */
static void reduce${n}(const reduction${n} *restrict r, const $code *x, $code *restrict y, int largest)
{
    for (int i = 0; i < r->outer; i++, x += r->reduced * r->inner)
        for (int j = 0; j < r->inner; j++) {
            int32_t sum = -r->reduced * r->in_zero, most = $least;
            for (int k = 0; k < r->reduced; k++) {
                const $code code = x[k * r->inner + j];
                sum += code;
                if (code > most) most = code;
            }
            *y++ = to_code${n}(largest ? most : rescale${n}(sum, r->multiplier, r->shift) + r->out_zero, $least, $greatest);
        }
}
