typedef struct {
    int32_t channels;
    int16_t in_height, in_width, out_height, out_width, kernel_height, kernel_width, stride_y, stride_x, before_y, before_x;
    int16_t low, high;
} pool${n};

/* Mean, halves away from zero, or maximum of what lies in the image. */
static void pooled${n}(const pool${n} *restrict l, const $code *x, $code *restrict y, int largest)
{
    for (int oy = 0; oy < l->out_height; oy++)
        for (int ox = 0; ox < l->out_width; ox++) {
            const int top = oy * l->stride_y - l->before_y, left = ox * l->stride_x - l->before_x;
            const int y0 = top < 0 ? 0 : top, x0 = left < 0 ? 0 : left;
            const int y1 = top + l->kernel_height < l->in_height ? top + l->kernel_height : l->in_height;
            const int x1 = left + l->kernel_width < l->in_width ? left + l->kernel_width : l->in_width;
            const int32_t count = (y1 - y0) * (x1 - x0);
            for (int c = 0; c < l->channels; c++) {
                int32_t sum = 0, most = $least;
                for (int i = y0; i < y1; i++) {
                    const $code *at = x + (i * l->in_width + x0) * l->channels + c;
                    for (int j = x0; j < x1; j++, at += l->channels) {
                        sum += *at;
                        if (*at > most) most = *at;
                    }
                }
                sum = (sum > 0 ? sum + count / 2 : sum - count / 2) / count;
                *y++ = to_code${n}(largest ? most : sum, l->low, l->high);
            }
        }
}
