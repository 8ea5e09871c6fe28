/* Dot products of x with four rows of weights, which share the loads of x. */
static inline void dot4(const int8_t *const w[4], const int8_t *x, int n, int32_t sum[4])
{
    const int8_t *w0 = w[0], *w1 = w[1], *w2 = w[2], *w3 = w[3];
    int32_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];
#if defined(__ARM_FEATURE_DSP)
    for (; n >= 4; n -= 4, w0 += 4, w1 += 4, w2 += 4, w3 += 4, x += 4) {
        const uint32_t four = load4(x);
        const int16x2_t even = even_of(four), odd = odd_of(four);
        uint32_t u = load4(w0);
        a = __smlad(odd_of(u), odd, __smlad(even_of(u), even, a));
        u = load4(w1);
        b = __smlad(odd_of(u), odd, __smlad(even_of(u), even, b));
        u = load4(w2);
        c = __smlad(odd_of(u), odd, __smlad(even_of(u), even, c));
        u = load4(w3);
        d = __smlad(odd_of(u), odd, __smlad(even_of(u), even, d));
    }
#endif
#if !defined(__ARM_FEATURE_DSP) || ODD_ROWS
    for (; n > 0; n--) {
        const int32_t v = *x++;
        a += v * *w0++;
        b += v * *w1++;
        c += v * *w2++;
        d += v * *w3++;
    }
#endif
    sum[0] = a;
    sum[1] = b;
    sum[2] = c;
    sum[3] = d;
}

/* All channels of one output, which reads n codes. */
static void dense(const layer *restrict l, const int8_t *x, int n, int8_t *y)
{
    const int channels = l->out_channels;
    for (int o = 0; o < channels; o += 4) {
        const int8_t *w[4];
        int32_t sum[4];
        for (int i = 0; i < 4; i++) {
            const int channel = o + i < channels ? o + i : o;
            w[i] = l->weights + channel * n;
            sum[i] = l->bias[channel];
        }
        dot4(w, x, n, sum);
        write_codes(l, o, channels - o < 4 ? channels - o : 4, sum, y + o);
    }
}
