/* Of int16 activations and int8 weights. */
typedef struct {
    const int8_t *weights;
    const bias16 *bias;
    const int32_t *multiplier;
    const int8_t *shift;
    uint16_t in_channels, out_channels;
    int16_t in_height, in_width, out_height, out_width, kernel_height, kernel_width, before_y, before_x;
    uint8_t stride_y, stride_x, dilation_y, dilation_x;
    int16_t low, high;
    uint8_t twice; /* 1 where TensorFlow Lite Micro sums in 32 bits and rounds twice */
} layer16;

/* x * multiplier * 2^(shift - 15), halves up; x has 48 bits, the multiplier 15. */
static inline int32_t rescale_once(int64_t x, int32_t multiplier, int shift)
{
    return (int32_t)((x * multiplier + ((int64_t)1 << (14 - shift))) >> (15 - shift));
}

static inline int16_t code16_of(const layer16 *restrict l, int channel, sum16 sum)
{
    const int32_t multiplier = l->multiplier[channel];
    const int shift = l->shift[channel];
    if (l->twice) return to_code16(rescale16((int32_t)sum, multiplier, shift), l->low, l->high);
    return to_code16(rescale_once(sum, multiplier, shift), l->low, l->high);
}
