#if defined(__ARM_FEATURE_DSP)
/* Bytes 0 and 2, and bytes 1 and 3, of four int8 as pairs of int16 for the dual multiply-accumulate. */
static inline uint32_t load4(const int8_t *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}
static inline int16x2_t even_of(uint32_t word)
{
    return __sxtb16(word);
}

static inline int16x2_t odd_of(uint32_t word)
{
    int16x2_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word)); /* arm_acle.h has no rotating form */
    return pair;
}
#endif

static inline int32_t dot(const int8_t *w, const int8_t *x, int n, int32_t sum)
{
    for (int i = 0; i < n; i++) sum += (int32_t)w[i] * x[i];
    return sum;
}

/* Dot products of x with two rows of weights, which share the loads of x. */
static inline void dot2(const int8_t *w0, const int8_t *w1, const int8_t *x, int n, int32_t sum[2])
{
#if defined(__ARM_FEATURE_DSP)
    int32_t a = sum[0], b = sum[1];
    for (; n >= 4; n -= 4, w0 += 4, w1 += 4, x += 4) {
        const uint32_t four = load4(x), u = load4(w0), v = load4(w1);
        const int16x2_t even = even_of(four), odd = odd_of(four);
        a = __smlad(even_of(u), even, a);
        b = __smlad(even_of(v), even, b);
        a = __smlad(odd_of(u), odd, a);
        b = __smlad(odd_of(v), odd, b);
    }
    sum[0] = a;
    sum[1] = b;
#endif
    sum[0] = dot(w0, x, n, sum[0]);
    sum[1] = dot(w1, x, n, sum[1]);
}

static inline int32_t total(const int8_t *w, int n)
{
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += w[i];
    return sum;
}

/* Convolution over steps, all input channels into each output channel. */
static void convolution(const layer *restrict l, const int8_t *restrict x, int8_t *restrict y)
{
    const int row = l->kernel * l->in_channels;
    for (int t = 0; t < l->out_steps; t++) {
        const int first = t - l->before;
        const int from = first < 0 ? -first : 0;
        const int to = first + l->kernel > l->in_steps ? l->in_steps - first : l->kernel;
        const int head = from * l->in_channels, n = (to - from) * l->in_channels, tail = row - head - n;
        const int8_t *seen = x + (first + from) * l->in_channels;
        for (int o = 0; o < l->out_channels; o += 2) {
            const int pair = o + 1 < l->out_channels;
            const int8_t *w0 = l->weights + o * row, *w1 = pair ? w0 + row : w0;
            int32_t sum[2] = {l->bias[o], l->bias[o + pair]};
            if (head + tail > 0) {
                sum[0] += l->in_zero * (total(w0, head) + total(w0 + head + n, tail));
                sum[1] += l->in_zero * (total(w1, head) + total(w1 + head + n, tail));
            }
            dot2(w0 + head, w1 + head, seen, n, sum);
            *y++ = layer_code(l, o, sum[0]);
            if (pair) *y++ = layer_code(l, o + 1, sum[1]);
        }
    }
}
