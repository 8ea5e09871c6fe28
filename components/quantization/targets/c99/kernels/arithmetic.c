/* int8 arithmetic of TensorFlow Lite Micro's reference kernels. Right shifts of negative numbers are taken to be
   arithmetic, which C99 leaves to the compiler and every compiler for two's complement processors does. */

/* x * multiplier * 2^(shift - 31), rounded at 2^-31 and again at the shift, where halves go away from zero. */
static inline int32_t rescale(int32_t x, int32_t multiplier, int shift)
{
    const int left = shift > 0 ? shift : 0, right = left - shift;
    const int64_t product = (int64_t)(int32_t)((uint32_t)x << left) * multiplier;
    const $sum high = ($sum)((product + (1 << 30)) >> 31);
    return (int32_t)((high + ((($sum)1 << right) >> 1) - ((high < 0) & (right > 0))) >> right);
}

static inline int8_t to_code(int32_t x, int low, int high)
{
    return (int8_t)(x < low ? low : x > high ? high : x);
}
