/* Codes in another scale, those below zero by a factor of their own. */
typedef struct {
    int32_t multiplier, below;
    int8_t shift, below_shift;
    int16_t in_zero, out_zero, low, high;
} ramp${n};

static void scale${n}(const ramp${n} *restrict r, const $from *x, $code *y, int n)
{
    for (; n > 0; n--) {
        const int32_t value = *x++ - r->in_zero;
        const int32_t scaled = value < 0 ? rescale16(value, r->below, r->below_shift) : rescale16(value, r->multiplier, r->shift);
        *y++ = ($code)to_code16(scaled + r->out_zero, r->low, r->high);
    }
}
