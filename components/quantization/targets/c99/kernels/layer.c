/* Kept apart where stack and flash are dearer than a call. */
#if defined(__GNUC__)
#define NOT_INLINE __attribute__((noinline))
#else
#define NOT_INLINE
#endif

typedef struct {
    const int8_t *weights;
    const int32_t *bias; /* minus the zero point of the input times the sum of the weights */
    const int32_t *multiplier;
    const int8_t *shift;
    uint16_t in_channels, out_channels;
    int16_t in_height, in_width, out_height, out_width, kernel_height, kernel_width, before_y, before_x;
    uint8_t stride_y, stride_x, dilation_y, dilation_x;
    int8_t in_zero, out_zero, low, high;
} layer;

/* As rescale, of a shift that RIGHT_SHIFTS says is below 0. */
static inline int32_t layer_scaled(int32_t x, int32_t multiplier, int shift)
{
#if RIGHT_SHIFTS && !WIDE_SUMS
    const int32_t high = scaled(x, multiplier);
    return (high + (1 << (-1 - shift)) + (high >> 31)) >> -shift;
#else
    return rescale(x, multiplier, shift);
#endif
}

/* The codes of n neighbouring channels. */
NOT_INLINE static void write_codes(const layer *restrict l, int channel, int n, const int32_t *restrict sum, int8_t *restrict y)
{
    const int32_t *multiplier = l->multiplier + channel;
    const int8_t *shift = l->shift + channel;
    const int zero = l->out_zero, low = l->low, high = l->high;
    for (; n > 0; n--) *y++ = to_code(layer_scaled(*sum++, *multiplier++, *shift++) + zero, low, high);
}
