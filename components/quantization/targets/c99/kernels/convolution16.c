/* All input channels into each output channel. */
static void convolution16(const layer16 *restrict l, const int16_t *x, int16_t *y, int16_t *copy)
{
    const int n = (ONE_ROW ? 1 : l->kernel_height) * l->kernel_width * l->in_channels, channels = l->out_channels;
    const int outputs = ONE_ROW ? l->out_width : l->out_height * l->out_width;
    for (int p = 0; p < outputs; p++) {
        const int16_t *seen = patch_of16(l, x, p, copy, 0);
        const int8_t *w = l->weights;
        for (int o = 0; o < channels; o++) {
            sum16 sum = l->bias[o];
            for (int i = 0; i < n; i++) sum += (int32_t)*w++ * seen[i];
            *y++ = code16_of(l, o, sum);
        }
    }
}
