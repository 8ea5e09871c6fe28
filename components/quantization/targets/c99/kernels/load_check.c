/* Nothing of a blob is believed: every offset, size and number is held against what the kernels take before any of them runs. */

static uint32_t number(const uint8_t *bytes, int count)
{
    uint32_t value = 0;
    while (count--) value = value << 8 | bytes[count];
    return value;
}

static int between(int64_t x, int64_t low, int64_t high)
{
    return low <= x && x <= high;
}

/* Whether ``bytes`` from ``offset`` on lie in the blob behind its directory; tables begin at multiples of four. */
static int lies(const model_place *m, int32_t offset, int64_t bytes)
{
    return offset >= HEADER + 4 * DIRECTORY && offset % 4 == 0 && bytes >= 0 && offset + bytes <= (int64_t)m->size;
}

/* Likewise codes in the arena. */
static int fits(const model_place *m, int32_t offset, int64_t bytes)
{
    return offset >= 0 && offset % 4 == 0 && bytes >= 0 && offset + bytes <= m->word[ARENA_USED];
}

static int apart(int32_t a, int64_t a_bytes, int32_t b, int64_t b_bytes)
{
    return a + a_bytes <= b || b + b_bytes <= a;
}

/* Whether ``count`` words from ``entry`` of the directory on lie in the blob, each from ``low`` to ``high``. */
static int words_between(const model_place *m, int entry, int64_t count, int64_t low, int64_t high)
{
    if (!lies(m, m->word[entry], 4 * count)) return 0;
    for (int64_t i = 0; i < count; i++)
        if (!between(((const int32_t *)place(m, entry))[i], low, high)) return 0;
    return 1;
}

enum { FAR = 1 << 20, MOST_FACTOR = 1 << 30 };

static int knots_rise(const model_place *m)
{
    const int32_t n = m->word[NUMBER_KNOTS], *knot;
    if (!between(n, 2, 4096) || !words_between(m, AT_KNOT, 2 * (int64_t)n, -FAR, FAR)) return 0;
    knot = (const int32_t *)place(m, AT_KNOT);
    for (int32_t i = 2; i < 2 * n; i += 2)
        if (knot[i] <= knot[i - 2]) return 0;
    return 1;
}

/* The weighted squares of the residual stay within 63 bits. */
static int residual_fits(const model_place *m)
{
    const int32_t in = m->word[NUMBER_RESIDUAL_INPUT], out = m->word[NUMBER_RESIDUAL_OUTPUT];
    uint64_t most;
    if (!between(in, 0, (1 << 23) - 1) || !between(out, 0, (1 << 22) - 1)) return 0;
    if (!words_between(m, AT_CHANNEL_WEIGHT, MODEL_CHANNELS, 0, INT32_MAX)) return 0;
    most = ((uint64_t)in * 128 + (uint64_t)out * 256) >> 6;
    most = most * most + 1;
    for (int c = 0; c < MODEL_CHANNELS; c++)
        if ((uint64_t)((const int32_t *)place(m, AT_CHANNEL_WEIGHT))[c] > (uint64_t)INT64_MAX / most) return 0;
    return most <= (uint64_t)INT64_MAX / MODEL_STEPS;
}

static int scaling_fits(const model_place *m, int center, int multiplier)
{
    return words_between(m, center, MODEL_CHANNELS, -FAR, FAR) && words_between(m, multiplier, MODEL_CHANNELS, 0, MOST_FACTOR);
}

static int conditions_fit(const model_place *m)
{
#if REGIMES > 0
    const int64_t all = (int64_t)REGIMES * MODEL_CHANNELS;
    return words_between(m, AT_CONDITION_WEIGHT, CONDITIONS, 0, 1 << 27) &&
           words_between(m, AT_POINT, (int64_t)REGIMES * CONDITIONS, -(1 << 16), 1 << 16) &&
           words_between(m, AT_REGIME_CENTER, all, -FAR, FAR) && words_between(m, AT_REGIME_MULTIPLIER, all, 0, INT32_MAX);
#else
    (void)m;
    return 1;
#endif
}

static int outputs_fit(const model_place *m)
{
#if MODEL_TASKS > 0
    static const int32_t classes[MODEL_TASKS] = CLASS_COUNTS;
    if (!lies(m, m->word[AT_HEADS], 4 * MODEL_TASKS)) return 0;
    for (int i = 0; i < MODEL_TASKS; i++)
        if (!fits(m, ((const int32_t *)place(m, AT_HEADS))[i], classes[i])) return 0;
#endif
#if MODEL_VALUES > 0
    if (!lies(m, m->word[AT_NUMBERS], 4 * MODEL_VALUES) || !lies(m, m->word[AT_GAUGES], 4 * 6 * MODEL_VALUES)) return 0;
    for (int i = 0; i < MODEL_VALUES; i++) {
        const gauge g = gauge_of(m, i);
        if (!fits(m, ((const int32_t *)place(m, AT_NUMBERS))[i], 1)) return 0;
        if (!between(g.zero, -128, 127) || !between(g.multiplier, -(INT64_C(1) << 50), INT64_C(1) << 50)) return 0;
        if (g.low > g.high) return 0;
    }
#endif
    return fits(m, m->word[AT_INPUT], (int64_t)MODEL_STEPS * (MODEL_CHANNELS + OPTIONALS)) &&
           fits(m, m->word[AT_CORRECTION], (int64_t)MODEL_STEPS * MODEL_CHANNELS);
}

static int wide_parts_fit(const model_place *m)
{
#if WIDE_PARTS > 0
    static const int32_t classes[WIDE_PARTS] = WIDE_CLASSES;
    if (!lies(m, m->word[AT_WIDE], 4 * 8 * WIDE_PARTS)) return 0;
    for (int i = 0; i < WIDE_PARTS; i++) {
        const int32_t *w = (const int32_t *)place(m, AT_WIDE) + 8 * i;
        const int64_t n = classes[i];
        if (!lies(m, w[0], 2 * n * MODEL_CHANNELS * NAMES) || !lies(m, w[1], 4 * n * MODEL_CHANNELS) || !lies(m, w[2], 4 * n))
            return 0;
        if (!between(w[3], 0, 40) || !between(w[4], -(1 << 22), 1 << 22) || !between(w[5], -128, 127)) return 0;
    }
#else
    (void)m;
#endif
    return 1;
}

static int vectors_lie(const model_place *m)
{
    const int64_t n = m->word[VECTORS];
    if (!between(n, 1, 1024) || !scaling_fits(m, AT_TEST_CENTER, AT_TEST_MULTIPLIER)) return 0;
    if (!lies(m, m->word[AT_TEST_RAW], 2 * n * MODEL_STEPS * MODEL_CHANNELS)) return 0;
    return lies(m, m->word[AT_TEST_SURPRISE], 4 * n) && lies(m, m->word[AT_TEST_CLASSES], n * MODEL_TASKS) &&
           lies(m, m->word[AT_TEST_VALUES], 4 * n * MODEL_VALUES);
}

static int tables_hold(const model_place *m)
{
    const int32_t *word = m->word;
    if (!between(word[NUMBER_THRESHOLD], 0, INT32_MAX)) return 0;
    if (!between(word[NUMBER_RAISE], 1, UINT16_MAX) || !between(word[NUMBER_CLEAR], 1, UINT16_MAX)) return 0;
    if (!between(word[NUMBER_CORE_FIRST], 0, word[NUMBER_CORE_LAST]) || word[NUMBER_CORE_LAST] > MODEL_STEPS) return 0;
    if (!between(word[NUMBER_CORRECTION_ZERO], -128, 127)) return 0;
    if (!words_between(m, AT_DEVIATION, MODEL_CHANNELS, INT32_MIN, INT32_MAX)) return 0;
    return knots_rise(m) && residual_fits(m) && scaling_fits(m, AT_CENTER, AT_MULTIPLIER) && conditions_fit(m) &&
           outputs_fit(m) && wide_parts_fit(m) && vectors_lie(m);
}

/* No sum of a channel leaves its bits, nor does what is made of it. */
static int channel_fits(const model_place *m, const int32_t *w, int32_t channel, int32_t taps, int bits)
{
    const int8_t *weights = (const int8_t *)m->base + w[L_WEIGHTS], shift = ((const int8_t *)m->base + w[L_SHIFTS])[channel];
    const int32_t bias = ((const int32_t *)(const void *)(m->base + w[L_BIAS]))[channel];
    const int32_t factor = ((const int32_t *)(const void *)(m->base + w[L_FACTORS]))[channel];
    const int32_t step = w[L_DEPTHWISE] ? w[L_OUT] : 1, first = w[L_DEPTHWISE] ? channel : channel * taps;
    int64_t most = bias < 0 ? -(int64_t)bias : bias;
    for (int32_t i = 0; i < taps; i++) most += (int64_t)(weights[first + i * step] < 0 ? -weights[first + i * step] : weights[first + i * step]) << (bits - 1);
    if (bits == 8) return between(factor, 0, INT32_MAX) && between(shift, -30, 30) && most << (shift > 0 ? shift : 0) < 1 << 30;
    return between(factor, 0, 0x7FFF) && between(shift, -31, 7) && most < INT64_C(1) << 46 && (most * factor >> (15 - shift)) < INT32_MAX;
}

static int layer_fits(const model_place *m, const int32_t *w, int bits)
{
    const int64_t bytes = bits / 8, pixels = (int64_t)w[L_HEIGHT] * w[L_WIDTH], kernel = (int64_t)w[L_KERNEL_HEIGHT] * w[L_KERNEL_WIDTH];
    const int64_t in = bytes * w[L_IN_HEIGHT] * w[L_IN_WIDTH] * w[L_IN], out = bytes * pixels * w[L_OUT], patch = bytes * kernel * w[L_IN];
    const int32_t low = -(1 << (bits - 1)), high = (1 << (bits - 1)) - 1;
    int32_t taps;
    int inside, whole;
    for (int i = L_IN_HEIGHT; i <= L_KERNEL_WIDTH; i++)
        if (!between(w[i], 1, INT16_MAX)) return 0;
    for (int i = L_STRIDE_Y; i <= L_DILATION_X; i++)
        if (!between(w[i], 1, UINT8_MAX)) return 0;
    if (!between(w[L_BEFORE_Y], 0, INT16_MAX) || !between(w[L_BEFORE_X], 0, INT16_MAX)) return 0;
    if (!between(w[L_IN], 1, INT16_MAX) || !between(w[L_OUT], 1, INT16_MAX) || !between(w[L_DEPTHWISE], 0, 1)) return 0;
    if (w[L_DEPTHWISE] && w[L_OUT] % w[L_IN]) return 0;
    if (!between(w[L_LOW], low, high) || !between(w[L_HIGH], w[L_LOW], high)) return 0;
    if (!between(w[L_IN_ZERO], low, high) || !between(w[L_OUT_ZERO], low, high)) return 0;
    if (bits == 16 && (w[L_IN_ZERO] || w[L_OUT_ZERO])) return 0;
    if (!fits(m, w[SOURCE], in) || !fits(m, w[TARGET], out) || !apart(w[SOURCE], in, w[TARGET], out)) return 0;
    inside = !w[L_BEFORE_Y] && !w[L_BEFORE_X] &&
             (w[L_HEIGHT] - 1) * w[L_STRIDE_Y] + (w[L_KERNEL_HEIGHT] - 1) * w[L_DILATION_Y] < w[L_IN_HEIGHT] &&
             (w[L_WIDTH] - 1) * w[L_STRIDE_X] + (w[L_KERNEL_WIDTH] - 1) * w[L_DILATION_X] < w[L_IN_WIDTH];
    whole = (w[L_KERNEL_WIDTH] == 1 || w[L_DILATION_X] == 1) &&
            (w[L_KERNEL_HEIGHT] == 1 || (w[L_KERNEL_WIDTH] == w[L_IN_WIDTH] && w[L_DILATION_Y] == 1));
    if (!(inside && (w[L_DEPTHWISE] || whole))) {
        const int64_t copies = patch * (w[L_DEPTHWISE] || bits == 16 || pixels == 1 ? 1 : 2);
        if (!fits(m, w[COPIES], copies) || !apart(w[COPIES], copies, w[SOURCE], in) || !apart(w[COPIES], copies, w[TARGET], out))
            return 0;
    } else if (!fits(m, w[COPIES], 0)) return 0;
    if (!lies(m, w[L_WEIGHTS], kernel * w[L_OUT] * (w[L_DEPTHWISE] ? 1 : w[L_IN]))) return 0;
    if (!lies(m, w[L_BIAS], 4 * (int64_t)w[L_OUT]) || !lies(m, w[L_FACTORS], 4 * (int64_t)w[L_OUT]) || !lies(m, w[L_SHIFTS], w[L_OUT]))
        return 0;
    taps = (int32_t)kernel * (w[L_DEPTHWISE] ? 1 : w[L_IN]); /* they lie in the blob, so there are not too many */
    for (int32_t o = 0; o < w[L_OUT]; o++)
        if (!channel_fits(m, w, o, taps, bits)) return 0;
    return 1;
}

static int sum_fits(const model_place *m, const int32_t *w, int bits)
{
    const int64_t bytes = (int64_t)w[E_COUNT] * (bits / 8);
    const int32_t low = -(1 << (bits - 1)), high = (1 << (bits - 1)) - 1;
    for (int i = 0; i < 3; i++) {
        const int32_t factor = w[E_FACTORS + i], shift = w[E_SHIFTS + i];
        if (!between(factor, 0, shift == 0 && i < 2 ? MOST_FACTOR : INT32_MAX) || !between(shift, -30, 0)) return 0;
        if (!between(w[E_ZEROS + i], bits == 8 ? low : 0, bits == 8 ? high : 0)) return 0;
    }
    if (w[E_SIGN] != 1 && w[E_SIGN] != -1) return 0;
    if (!between(w[E_LOW], low, high) || !between(w[E_HIGH], w[E_LOW], high) || w[E_COUNT] < 1) return 0;
    return fits(m, w[SOURCE], bytes) && fits(m, w[SECOND], bytes) && fits(m, w[TARGET], bytes) &&
           apart(w[SOURCE], bytes, w[TARGET], bytes) && apart(w[SECOND], bytes, w[TARGET], bytes);
}

static int table_fits(const model_place *m, const int32_t *w)
{
    const int64_t n = w[E_COUNT];
    return n > 0 && fits(m, w[SOURCE], n) && fits(m, w[TARGET], n) && apart(w[SOURCE], n, w[TARGET], n) && lies(m, w[E_TABLE], 256);
}

SPARE static int ramp_fits(const model_place *m, const int32_t *w)
{
    const int up = w[KIND] == KIND_RAMP_UP;
    const int64_t in = (int64_t)w[E_COUNT] * (up ? 1 : 2), out = (int64_t)w[E_COUNT] * (up ? 2 : 1);
    const int32_t low = up ? INT16_MIN : INT8_MIN, high = up ? INT16_MAX : INT8_MAX;
    for (int i = 0; i < 2; i++) {
        if (!between(w[E_FACTORS + i], -INT32_MAX, INT32_MAX) || !between(w[E_SHIFTS + i], -30, 13)) return 0;
        if (!between(w[E_ZEROS + i], -128, 127)) return 0;
    }
    if (!between(w[E_LOW], low, high) || !between(w[E_HIGH], w[E_LOW], high) || w[E_COUNT] < 1) return 0;
    return fits(m, w[SOURCE], in) && fits(m, w[TARGET], out) && apart(w[SOURCE], in, w[TARGET], out);
}

static int operation_fits(const model_place *m, const int32_t *w)
{
    switch (w[KIND]) {
    case KIND_LAYER: return layer_fits(m, w, 8);
    case KIND_SUM: return sum_fits(m, w, 8);
    case KIND_TABLE: return table_fits(m, w);
#if HAS_16
    case KIND_LAYER_16: return layer_fits(m, w, 16);
    case KIND_SUM_16: return sum_fits(m, w, 16);
    case KIND_RAMP_UP:
    case KIND_RAMP_DOWN: return ramp_fits(m, w);
#endif
    default: return 0;
    }
}

static int graph_holds(const model_place *m)
{
    const int32_t n = m->word[OPERATIONS];
    if (!between(n, 1, 1024) || !lies(m, m->word[AT_OPERATIONS], 4 * RECORD * (int64_t)n)) return 0;
    for (int32_t i = 0; i < n; i++)
        if (!operation_fits(m, (const int32_t *)place(m, AT_OPERATIONS) + RECORD * i)) return 0;
    return 1;
}

model_load_reason model_load(const void *blob, uint32_t size)
{
    const uint8_t *base = blob;
    static const uint8_t shape[8] = SHAPE_ID;
    model_place m;
    uint8_t digest[32];
    muster_sha256_state hash;
    if (!base || size < HEADER + 4 * DIRECTORY || size > INT32_MAX) return MODEL_BLOB_SIZE;
    if ((uintptr_t)base % 4) return MODEL_BLOB_ALIGNMENT;
    if (memcmp(base, "MUSTERBL", 8) || *(const uint32_t *)(const void *)(base + 16) != UINT32_C(0x01020304)) return MODEL_BLOB_MAGIC;
    if (number(base + 8, 2) != BLOB_FORMAT) return MODEL_BLOB_VERSION;
    if (number(base + 10, 2) != INTERFACE_MAJOR) return MODEL_BLOB_INTERFACE;
    if (number(base + 12, 4) != size) return MODEL_BLOB_SIZE;
    muster_sha256_start(&hash);
    muster_sha256_add(&hash, base, DIGEST);
    muster_sha256_add(&hash, base + MODEL_SHA256, size - MODEL_SHA256);
    muster_sha256_end(&hash, digest);
    if (memcmp(digest, base + DIGEST, sizeof digest)) return MODEL_BLOB_DIGEST;
    if (memcmp(base + SHAPE, shape, sizeof shape)) return MODEL_BLOB_SHAPE;
    if (number(base + 20, 4) & ~(uint32_t)KERNELS_HERE) return MODEL_BLOB_KERNELS;
    m.base = base;
    m.size = size;
    m.word = (const int32_t *)(const void *)(base + HEADER);
    if (!between(m.word[ARENA_USED], 1, sizeof arena.bytes)) return MODEL_BLOB_ARENA;
    if (!tables_hold(&m)) return MODEL_BLOB_TABLES;
    if (!graph_holds(&m)) return MODEL_BLOB_GRAPH;
    loaded = m;
    return MODEL_LOADED;
}

int model_vectors(void)
{
    return MODEL_VECTORS;
}

const uint8_t *model_digest(void)
{
    return loaded.base + MODEL_SHA256;
}
