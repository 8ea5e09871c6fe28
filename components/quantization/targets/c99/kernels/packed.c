/* All input channels into each output channel, by weights of ${n} bits. */
static void convolution${n}(const layer *restrict l, const int8_t *x, int8_t *y, int8_t *copy)
{
    const int n = (ONE_ROW ? 1 : l->kernel_height) * l->kernel_width * l->in_channels, channels = l->out_channels;
    const int outputs = ONE_ROW ? l->out_width : l->out_height * l->out_width;
    for (int p = 0; p < outputs; p++) {
        const int8_t *seen = patch_of(l, x, p, copy, 0), *w = l->weights;
        for (int o = 0; o < channels; o++, w += ROW${n}(n)) {
            const int32_t sum = l->bias[o] + dot${n}bit(w, seen, n);
            write_codes(l, o, 1, &sum, y++);
        }
    }
}
