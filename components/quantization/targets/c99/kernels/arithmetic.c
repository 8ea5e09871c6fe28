/* int8 arithmetic of TensorFlow Lite Micro's reference kernels. Right shifts of negative numbers are taken to be
   arithmetic, which C99 leaves to the compiler and every compiler for two's complement processors does. */

/* x * multiplier * 2^-31, halves up; x has 30 bits where WIDE_SUMS is 0. */
static inline int32_t scaled(int32_t x, int32_t multiplier)
{
#if defined(__ARM_FEATURE_DSP) && !WIDE_SUMS
    int32_t high;
    __asm__("smmulr %0, %1, %2" : "=r"(high) : "r"(x * 2), "r"(multiplier)); /* x * 2 * multiplier * 2^-32 */
    return high;
#else
    return (int32_t)(((int64_t)x * multiplier + (1 << 30)) >> 31);
#endif
}

/* x * multiplier * 2^(shift - 31), rounded at 2^-31 and again at the shift, where halves go away from zero. */
SPARE static inline int32_t rescale(int32_t x, int32_t multiplier, int shift)
{
    const int left = shift > 0 ? shift : 0, right = left - shift;
    const $sum high = scaled((int32_t)((uint32_t)x << left), multiplier);
    return (int32_t)((high + ((($sum)1 << right) >> 1) - ((high < 0) & (right > 0))) >> right);
}

SPARE static inline int8_t to_code(int32_t x, int low, int high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}
