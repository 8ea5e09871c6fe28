#if defined(__ARM_FEATURE_DSP)
/* Bytes 0 and 2, and bytes 1 and 3, of four int8 as pairs of int16 for the dual multiply-accumulate. */
static inline uint32_t load4(const int8_t *p)
{
    uint32_t word;
    memcpy(&word, p, 4);
    return word;
}

static inline int16x2_t even_of(uint32_t word)
{
    return __sxtb16(word);
}

static inline int16x2_t odd_of(uint32_t word)
{
    int16x2_t pair;
    __asm__("sxtb16 %0, %1, ror #8" : "=r"(pair) : "r"(word)); /* arm_acle.h has no rotating form */
    return pair;
}
#endif
