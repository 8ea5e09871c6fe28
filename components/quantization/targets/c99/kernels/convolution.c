/* Dot products of two rows of weights with two patches. */
NOT_INLINE static void dot2x2(const int8_t *w0, const int8_t *w1, const int8_t *x0, const int8_t *x1, int n, int32_t sum[4])
{
    int32_t a = sum[0], b = sum[1], c = sum[2], d = sum[3];
#if defined(__ARM_FEATURE_DSP)
    for (; n >= 4; n -= 4, w0 += 4, w1 += 4, x0 += 4, x1 += 4) {
        const uint32_t u = load4(w0), v = load4(w1), p = load4(x0), q = load4(x1);
        int16x2_t w = even_of(u), k = even_of(v), s = even_of(p), t = even_of(q);
        a = __smlad(w, s, a);
        b = __smlad(k, s, b);
        c = __smlad(w, t, c);
        d = __smlad(k, t, d);
        w = odd_of(u), k = odd_of(v), s = odd_of(p), t = odd_of(q);
        a = __smlad(w, s, a);
        b = __smlad(k, s, b);
        c = __smlad(w, t, c);
        d = __smlad(k, t, d);
    }
#endif
#if !defined(__ARM_FEATURE_DSP) || ODD_ROWS
    for (; n > 0; n--) {
        const int32_t u = *w0++, v = *w1++, s = *x0++, t = *x1++;
        a += u * s;
        b += v * s;
        c += u * t;
        d += v * t;
    }
#endif
    sum[0] = a;
    sum[1] = b;
    sum[2] = c;
    sum[3] = d;
}

/* All input channels into each output channel; two outputs at a time share the loads of the weights. */
static void convolution(const layer *restrict l, const int8_t *x, int8_t *y, int8_t *copies)
{
    const int n = (ONE_ROW ? 1 : l->kernel_height) * l->kernel_width * l->in_channels, channels = l->out_channels;
    const int outputs = ONE_ROW ? l->out_width : l->out_height * l->out_width;
    int8_t *next = copies ? copies + n : copies; /* none where every patch lies in one piece */
    for (int p = 0; p < outputs; p += 2, y += 2 * channels) {
        const int more = p + 1 < outputs; /* an odd last one is computed twice */
        const int8_t *x0 = patch_of(l, x, p, copies, 0);
        const int8_t *x1 = more ? patch_of(l, x, p + 1, next, 0) : x0;
        int8_t *y1 = more ? y + channels : y;
        for (int o = 0; o < channels; o += 2) {
            const int pair = o + 1 < channels;
            const int8_t *w = l->weights + o * n;
            int32_t sum[4] = {l->bias[o], l->bias[o + pair], l->bias[o], l->bias[o + pair]};
            dot2x2(w, pair ? w + n : w, x0, x1, n, sum);
            write_codes(l, o, 1 + pair, sum, y + o);
            write_codes(l, o, 1 + pair, sum + 2, y1 + o);
        }
    }
}
