/* Each input channel into several output channels. */
static void widening(const layer *restrict l, const int8_t *x, int8_t *restrict y, int8_t *copy)
{
    const int outputs = l->out_height * l->out_width, factor = l->out_channels / l->in_channels;
    for (int p = 0; p < outputs; p++) {
        int32_t apart[2];
        const int8_t *seen = patch_of(l, x, p, copy, apart);
        for (int c = 0; c < l->out_channels; c++) {
            const int8_t *w = l->weights + c, *row = seen + c / factor;
            int32_t sum = l->bias[c];
            for (int i = l->kernel_height; i > 0; i--, row += apart[0]) {
                const int8_t *at = row;
                for (int j = l->kernel_width; j > 0; j--, at += apart[1], w += l->out_channels) sum += (int32_t)*w * *at;
            }
            write_codes(l, c, 1, &sum, y++);
        }
    }
}
