/* As rescale, of numbers that may take all 32 bits. */
SPARE static inline int32_t rescale16(int32_t x, int32_t multiplier, int shift)
{
    const int left = shift > 0 ? shift : 0, right = left - shift;
    const int64_t high = ((int64_t)(int32_t)((uint32_t)x << left) * multiplier + (1 << 30)) >> 31;
    return (int32_t)((high + (((int64_t)1 << right) >> 1) - ((high < 0) & (right > 0))) >> right);
}

SPARE static inline int16_t to_code16(int32_t x, int low, int high)
{
    return (int16_t)(x < low ? low : x > high ? high : x);
}
