/* int8 arithmetic of TensorFlow Lite Micro's reference kernels. Right shifts of negative numbers are taken to be
   arithmetic, which C99 leaves to the compiler and every compiler for two's complement processors does. */

typedef struct {
    const int8_t *weights;
    const int32_t *bias; /* minus the zero point of the input times the sum of the weights */
    const int32_t *multiplier;
    const int8_t *shift;
    int16_t in_steps, in_channels, out_steps, out_channels, kernel, before;
    int16_t in_zero, out_zero, low, high;
} layer;

/* x * multiplier * 2^(shift - 31), rounded at 2^-31 and again at the shift. */
static inline int32_t rescale(int32_t x, int32_t multiplier, int shift)
{
    const int left = shift > 0 ? shift : 0, right = left - shift;
    const int64_t product = (int64_t)(int32_t)((uint32_t)x << left) * multiplier;
    const int32_t high = (int32_t)((product + (1 << 30)) >> 31);
    return (high + ((1 << right) >> 1) - ((high < 0) & (right > 0))) >> right; /* halves away from zero */
}

static inline int8_t to_code(int32_t x, int low, int high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}

static inline int8_t layer_code(const layer *restrict l, int channel, int32_t sum)
{
    return to_code(rescale(sum, l->multiplier[channel], l->shift[channel]) + l->out_zero, l->low, l->high);
}
