/* Each input channel into one or several output channels. */
static void depthwise16(const layer16 *restrict l, const int16_t *x, int16_t *y, int16_t *copy)
{
    const int outputs = ONE_ROW ? l->out_width : l->out_height * l->out_width, factor = l->out_channels / l->in_channels;
    for (int p = 0; p < outputs; p++) {
        int32_t apart[2];
        const int16_t *seen = patch_of16(l, x, p, copy, apart);
        for (int c = 0; c < l->out_channels; c++) {
            const int8_t *w = l->weights + c;
            const int16_t *row = seen + c / factor;
            sum16 sum = l->bias[c];
            for (int i = ONE_ROW ? 1 : l->kernel_height; i > 0; i--, row += apart[0]) {
                const int16_t *at = row;
                for (int j = l->kernel_width; j > 0; j--, at += apart[1], w += l->out_channels) sum += (int32_t)*w * *at;
            }
            *y++ = code16_of(l, c, sum);
        }
    }
}
