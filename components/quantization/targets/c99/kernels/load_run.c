/* The graph of the loaded model: records of 32 words. */

enum { KIND_LAYER = 1, KIND_SUM, KIND_TABLE, KIND_LAYER_16, KIND_SUM_16, KIND_RAMP_UP, KIND_RAMP_DOWN };
enum { KIND, SOURCE, SECOND, TARGET, COPIES, FIRST }; /* what FIRST and the words behind it mean depends on the kind */

/* A layer. */
enum {
    L_WEIGHTS = FIRST, L_BIAS, L_FACTORS, L_SHIFTS, L_DEPTHWISE, L_IN, L_OUT, L_IN_HEIGHT, L_IN_WIDTH, L_HEIGHT, L_WIDTH,
    L_KERNEL_HEIGHT, L_KERNEL_WIDTH, L_BEFORE_Y, L_BEFORE_X, L_STRIDE_Y, L_STRIDE_X, L_DILATION_Y, L_DILATION_X, L_IN_ZERO,
    L_OUT_ZERO, L_LOW, L_HIGH
};

/* Codes one by one: a sum of two tensors, a table, a ramp. */
enum { E_COUNT = FIRST, E_TABLE, E_FACTORS = E_TABLE, E_SHIFTS = E_FACTORS + 3, E_ZEROS = E_SHIFTS + 3, E_SIGN = E_ZEROS + 3, E_LOW, E_HIGH };

#define SHAPE_OF(w) \
    (uint16_t)w[L_IN], (uint16_t)w[L_OUT], (int16_t)w[L_IN_HEIGHT], (int16_t)w[L_IN_WIDTH], (int16_t)w[L_HEIGHT], \
    (int16_t)w[L_WIDTH], (int16_t)w[L_KERNEL_HEIGHT], (int16_t)w[L_KERNEL_WIDTH], (int16_t)w[L_BEFORE_Y], \
    (int16_t)w[L_BEFORE_X], (uint8_t)w[L_STRIDE_Y], (uint8_t)w[L_STRIDE_X], (uint8_t)w[L_DILATION_Y], (uint8_t)w[L_DILATION_X]

#define ONE_BY_ONE(n) {{1, 1, 1, n}, {0, 0, 0, 1}, {0, 0, 0, 1}}

static void run_layer(const int32_t *w)
{
    const layer l = {
        (const int8_t *)loaded.base + w[L_WEIGHTS],
        (const int32_t *)(const void *)(loaded.base + w[L_BIAS]),
        (const int32_t *)(const void *)(loaded.base + w[L_FACTORS]),
        (const int8_t *)loaded.base + w[L_SHIFTS],
        SHAPE_OF(w),
        (int8_t)w[L_IN_ZERO], (int8_t)w[L_OUT_ZERO], (int8_t)w[L_LOW], (int8_t)w[L_HIGH],
    };
    const int8_t *x = arena.bytes + w[SOURCE];
    int8_t *y = arena.bytes + w[TARGET], *copies = arena.bytes + w[COPIES];
    if (!w[L_DEPTHWISE]) convolution(&l, x, y, copies);
    else if (w[L_IN] == w[L_OUT]) depthwise(&l, x, y, copies);
    else widening(&l, x, y, copies);
}

static void run_sum(const int32_t *w)
{
    const addition s = {
        ONE_BY_ONE(w[E_COUNT]),
        {w[E_FACTORS], w[E_FACTORS + 1], w[E_FACTORS + 2]},
        {(int8_t)w[E_SHIFTS], (int8_t)w[E_SHIFTS + 1], (int8_t)w[E_SHIFTS + 2]},
        (int8_t)w[E_SIGN],
        {(int16_t)w[E_ZEROS], (int16_t)w[E_ZEROS + 1], (int16_t)w[E_ZEROS + 2]},
        (int16_t)w[E_LOW], (int16_t)w[E_HIGH],
    };
    add(&s, arena.bytes + w[SOURCE], arena.bytes + w[SECOND], arena.bytes + w[TARGET]);
}

static void run_table(const int32_t *w)
{
    look_up((const int8_t *)loaded.base + w[E_TABLE], arena.bytes + w[SOURCE], arena.bytes + w[TARGET], w[E_COUNT]);
}
