/* Each channel with weights of its own. */
static void depthwise(const layer *restrict l, const int8_t *x, int8_t *restrict y, int8_t *copy)
{
    const int channels = l->out_channels, outputs = ONE_ROW ? l->out_width : l->out_height * l->out_width;
    for (int p = 0; p < outputs; p++, y += channels) {
        int32_t apart[2];
        const int8_t *seen = patch_of(l, x, p, copy, apart);
        int c = 0;
#if defined(__ARM_FEATURE_DSP)
        for (; c + 4 <= channels; c += 4) {
            const int8_t *w = l->weights + c, *row = seen + c;
            int32_t s0 = l->bias[c], s1 = l->bias[c + 1], s2 = l->bias[c + 2], s3 = l->bias[c + 3];
            for (int i = ONE_ROW ? 1 : l->kernel_height; i > 0; i--, row += apart[0]) {
                const int8_t *at = row;
                for (int j = l->kernel_width; j > 0; j--, at += apart[1], w += channels) {
                    const uint32_t u = load4(w), v = load4(at);
                    const int16x2_t we = even_of(u), wo = odd_of(u), xe = even_of(v), xo = odd_of(v);
                    s0 = __smlabb(we, xe, s0);
                    s1 = __smlabb(wo, xo, s1);
                    s2 = __smlatt(we, xe, s2);
                    s3 = __smlatt(wo, xo, s3);
                }
            }
            const int32_t sum[4] = {s0, s1, s2, s3};
            write_codes(l, c, 4, sum, y + c);
        }
#endif
#if !defined(__ARM_FEATURE_DSP) || ODD_CHANNELS
        for (; c < channels; c++) {
            const int8_t *w = l->weights + c, *row = seen + c;
            int32_t sum = l->bias[c];
            for (int i = ONE_ROW ? 1 : l->kernel_height; i > 0; i--, row += apart[0]) {
                const int8_t *at = row;
                for (int j = l->kernel_width; j > 0; j--, at += apart[1], w += channels) sum += (int32_t)*w * *at;
            }
            write_codes(l, c, 1, &sum, y + c);
        }
#endif
    }
}
