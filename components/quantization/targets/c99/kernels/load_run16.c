static int16_t *codes16_at(int32_t offset)
{
    return arena.codes16 + offset / 2;
}

static void run_layer16(const int32_t *w)
{
    const layer16 l = {
        (const int8_t *)loaded.base + w[L_WEIGHTS],
        (const int32_t *)(const void *)(loaded.base + w[L_BIAS]),
        (const int32_t *)(const void *)(loaded.base + w[L_FACTORS]),
        (const int8_t *)loaded.base + w[L_SHIFTS],
        SHAPE_OF(w),
        (int16_t)w[L_LOW], (int16_t)w[L_HIGH], 0,
    };
    if (w[L_DEPTHWISE]) depthwise16(&l, codes16_at(w[SOURCE]), codes16_at(w[TARGET]), codes16_at(w[COPIES]));
    else convolution16(&l, codes16_at(w[SOURCE]), codes16_at(w[TARGET]), codes16_at(w[COPIES]));
}

static void run_sum16(const int32_t *w)
{
    const addition16 s = {
        ONE_BY_ONE(w[E_COUNT]),
        {w[E_FACTORS], w[E_FACTORS + 1], w[E_FACTORS + 2]},
        {(int8_t)w[E_SHIFTS], (int8_t)w[E_SHIFTS + 1], (int8_t)w[E_SHIFTS + 2]},
        (int8_t)w[E_SIGN],
        {0, 0, 0},
        (int16_t)w[E_LOW], (int16_t)w[E_HIGH],
    };
    add16(&s, codes16_at(w[SOURCE]), codes16_at(w[SECOND]), codes16_at(w[TARGET]));
}

static void run_ramp(const int32_t *w)
{
    const int8_t up = (int8_t)w[E_SHIFTS], down = (int8_t)w[E_SHIFTS + 1];
    const int16_t from = (int16_t)w[E_ZEROS], to = (int16_t)w[E_ZEROS + 1], low = (int16_t)w[E_LOW], high = (int16_t)w[E_HIGH];
    const ramp16_of_8 in = {w[E_FACTORS], w[E_FACTORS + 1], up, down, from, to, low, high};
    const ramp8_of_16 out = {w[E_FACTORS], w[E_FACTORS + 1], up, down, from, to, low, high};
    if (w[KIND] == KIND_RAMP_UP) scale16_of_8(&in, arena.bytes + w[SOURCE], codes16_at(w[TARGET]), w[E_COUNT]);
    else scale8_of_16(&out, codes16_at(w[SOURCE]), arena.bytes + w[TARGET], w[E_COUNT]);
}
