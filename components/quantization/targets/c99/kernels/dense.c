/* Dot products of x with four rows of weights, which share the loads of x; they lie ``row`` apart. */
NOT_INLINE static void dot4(const int8_t *w, int row, const int8_t *x, int n, int32_t sum[4])
{
    const int8_t *v = w + 2 * row;
    int32_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];
#if defined(__ARM_FEATURE_DSP)
    for (const int8_t *end = x + (n & ~3); x < end; x += 4, w += 4, v += 4) {
        const uint32_t four = load4(x);
        const int16x2_t even = even_of(four), odd = odd_of(four);
        uint32_t u = load4(w + row);
        b = __smlad(odd_of(u), odd, __smlad(even_of(u), even, b));
        u = load4(w);
        a = __smlad(odd_of(u), odd, __smlad(even_of(u), even, a));
        __asm__ volatile("" ::: "memory"); /* else all loads come first, and their words do not fit the registers */
        u = load4(v + row);
        d = __smlad(odd_of(u), odd, __smlad(even_of(u), even, d));
        u = load4(v);
        c = __smlad(odd_of(u), odd, __smlad(even_of(u), even, c));
    }
    n &= 3;
#endif
#if !defined(__ARM_FEATURE_DSP) || ODD_ROWS
    for (; n > 0; n--, w++, v++) {
        const int32_t code = *x++;
        a += code * *w;
        b += code * w[row];
        c += code * *v;
        d += code * v[row];
    }
#endif
    sum[0] = a;
    sum[1] = b;
    sum[2] = c;
    sum[3] = d;
}

/* All channels of one output, which reads n codes. Four at a time, the last four again where words of four leave some
   over; of fewer channels one at a time, four times over. */
static void dense(const layer *restrict l, const int8_t *x, int n, int8_t *y)
{
    const int channels = l->out_channels, together = channels < 4 ? 1 : 4, row = channels < 4 ? 0 : n;
    for (int at = 0; at < channels; at += together) {
        const int o = at + together > channels ? channels - together : at;
        int32_t sum[4];
        for (int i = 0; i < 4; i++) sum[i] = l->bias[i < together ? o + i : o];
        dot4(l->weights + o * n, row, x, n, sum);
        write_codes(l, o, together, sum, y + o);
    }
}
