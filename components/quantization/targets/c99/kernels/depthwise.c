/* Convolution over steps, each channel with weights of its own. */
static void depthwise(const layer *restrict l, const int8_t *restrict x, int8_t *restrict y)
{
    const int channels = l->out_channels;
    for (int t = 0; t < l->out_steps; t++) {
        const int first = t - l->before;
        const int from = first < 0 ? -first : 0;
        const int to = first + l->kernel > l->in_steps ? l->in_steps - first : l->kernel;
        for (int c = 0; c < channels; c++) {
            const int8_t *w = l->weights + c, *seen = x + (first + from) * channels + c;
            int32_t sum = l->bias[c], outside = 0;
            int k = 0;
            for (; k < from; k++, w += channels) outside += *w;
            for (; k < to; k++, w += channels, seen += channels) sum += (int32_t)*w * *seen;
            for (; k < l->kernel; k++, w += channels) outside += *w;
            *y++ = layer_code(l, c, sum + outside * l->in_zero);
        }
    }
}
