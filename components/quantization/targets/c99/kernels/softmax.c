static inline int32_t high_product(int32_t a, int32_t b)
{
    return (int32_t)(((int64_t)a * b + (1 << 30)) >> 31);
}

static inline int32_t halved(int32_t x, int times) /* halves away from zero */
{
    return (int32_t)(((int64_t)x + ((INT64_C(1) << times) >> 1) - ((x < 0) & (times > 0))) >> times);
}

static inline int32_t doubled(int32_t x, int times)
{
    const int64_t wide = (int64_t)x * (1 << times);
    return wide > INT32_MAX ? INT32_MAX : wide < INT32_MIN ? INT32_MIN : (int32_t)wide;
}

/* 1 / (1 + x) of x in [0, 1], both Q0.31: three steps of Newton's method. */
static int32_t reciprocal_of_one_plus(int32_t x)
{
    const int32_t half = (int32_t)(((int64_t)x + INT32_MAX + 1) >> 1);
    int32_t y = 1515870810 + high_product(half, -1010580540);
    for (int i = 0; i < 3; i++) y += doubled(high_product(y, (1 << 29) - high_product(half, y)), 2);
    return doubled(y, 1);
}

/* exps: exp(-d) in Q0.31 of a code that lies d below the largest of its row, 0 where it does not count. */
static void softmax(const int32_t exps[256], const int8_t *x, int8_t *y, int rows, int n)
{
    for (; rows > 0; rows--, x += n, y += n) {
        int32_t most = -128, sum = 0, scale;
        int headroom = 0;
        for (int i = 0; i < n; i++)
            if (x[i] > most) most = x[i];
        for (int i = 0; i < n; i++) sum += halved(exps[most - x[i]], 12);
        while (!((uint32_t)sum << headroom >> 31)) headroom++;
        scale = reciprocal_of_one_plus((int32_t)(((uint32_t)sum << headroom) - (UINT32_C(1) << 31)));
        for (int i = 0; i < n; i++) {
            const int32_t share = halved(high_product(scale, exps[most - x[i]]), 12 - headroom + 31 - 8);
            y[i] = to_code(share - 128, -128, 127);
        }
    }
}
