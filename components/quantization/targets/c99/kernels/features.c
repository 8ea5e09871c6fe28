/* Numbers that sum a window up, bit for bit components/runtime/window_features.py. */

static int16_t features[FEATURES];

static int8_t code_of(const model_state *state, int16_t raw, int channel)
{
    const int64_t wide = (int64_t)(raw - state->center[channel]) * state->multiplier[channel];
    const int64_t scaled = (wide + (1 << 15)) >> 16;
    return (int8_t)(scaled < -127 ? -127 : scaled > 127 ? 127 : scaled);
}

/* Square root, rounded down. */
static int16_t root(uint32_t value)
{
    uint32_t found = 0;
    for (uint32_t bit = UINT32_C(1) << 30; bit; bit >>= 2) {
        const uint32_t tried = found + bit;
        found >>= 1;
        if (value >= tried) {
            value -= tried;
            found += bit;
        }
    }
    return (int16_t)found;
}

static int16_t mean_of(int32_t n, int32_t total)
{
    const int32_t some = n ? n : 1;
    return (int16_t)((total * 64 + some * 8192) / some - 8192);
}

static int16_t deviation_of(int32_t n, int32_t total, int32_t squares)
{
    const int64_t spread = (int64_t)n * squares - (int64_t)total * total;
    return root((uint32_t)(spread * 4096 / (n ? n * n : 1)));
}

/* Sums over the samples of one channel that are there. */
typedef struct {
    int32_t n, total, squares, times, times_squared, times_x;
    int32_t pairs, step, steps_squared, still;
    int16_t low, high;
} sums;

static int16_t slope_of(const sums *s)
{
    int64_t spread = (int64_t)s->n * s->times_squared - (int64_t)s->times * s->times, slope;
    if (spread < 1) spread = 1;
    slope = ((int64_t)s->n * s->times_x - (int64_t)s->times * s->total) * ((MODEL_STEPS - 1) * 16);
    slope = (slope + spread * 32768) / spread - 32768;
    return (int16_t)(slope < -SLOPE_LIMIT ? -SLOPE_LIMIT : slope > SLOPE_LIMIT ? SLOPE_LIMIT : slope);
}

/* One channel of the window as codes, MISSING_CODE for a gap, and its sums. */
static void read_channel(const model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS], int c, int16_t *x, sums *s)
{
    memset(s, 0, sizeof *s);
    s->low = 127;
    s->high = -127;
    for (int t = 0; t < MODEL_STEPS; t++) {
        x[t] = MISSING_CODE;
        if (raw[t][c] == MODEL_MISSING) continue;
        x[t] = code_of(state, READ(raw, t, c), c);
        s->n++;
        s->total += x[t];
        s->squares += x[t] * x[t];
        s->times += t;
        s->times_squared += t * t;
        s->times_x += t * x[t];
        if (x[t] < s->low) s->low = x[t];
        if (x[t] > s->high) s->high = x[t];
        if (t > 0 && x[t - 1] != MISSING_CODE) {
            const int32_t step = x[t] - x[t - 1];
            s->pairs++;
            s->step += step;
            s->steps_squared += step * step;
            s->still += step == 0;
        }
    }
    if (!s->n) s->low = s->high = 0;
}

static int16_t *parts_of(const int16_t *x, int16_t mean, int16_t *feature)
{
    for (int part = 0; part < PARTS; part++) {
        int32_t n = 0, total = 0;
        for (int t = part * MODEL_STEPS / PARTS; t < (part + 1) * MODEL_STEPS / PARTS; t++)
            if (x[t] != MISSING_CODE) {
                n++;
                total += x[t];
            }
        *feature++ = n ? mean_of(n, total) : mean;
    }
    return feature;
}

/* Energy of the differences between halves of blocks of 2, 4, 8, ... samples; x is used up. */
static int16_t *bands_of(int16_t *x, int16_t mean, int16_t *feature)
{
    const int16_t centre = (int16_t)((mean + 8192) / 64 - 128);
    int left = MODEL_STEPS;
    for (int t = 0; t < MODEL_STEPS; t++) x[t] = (int16_t)(x[t] == MISSING_CODE ? 0 : x[t] - centre);
    for (int level = 0; level < BANDS; level++) {
        uint32_t energy = 0;
        left /= 2;
        for (int i = 0; i < left; i++) {
            const int32_t detail = x[2 * i] - x[2 * i + 1];
            energy += (uint32_t)(detail * detail);
            x[i] = (int16_t)(x[2 * i] + x[2 * i + 1]);
        }
        *feature++ = root((uint32_t)(((uint64_t)energy << 2 * (6 - level)) / (uint32_t)left));
    }
    return feature;
}

static void read_features(const model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS])
{
    static int16_t x[MODEL_STEPS];
    int16_t *feature = features;
    for (int c = 0; c < MODEL_CHANNELS; c++) {
        sums s;
        int16_t mean;
        int16_t *bands;
        read_channel(state, raw, c, x, &s);
        mean = *feature++ = mean_of(s.n, s.total);
        *feature++ = deviation_of(s.n, s.total, s.squares);
        *feature++ = s.low;
        *feature++ = s.high;
        *feature++ = (int16_t)(s.high - s.low);
        *feature++ = slope_of(&s);
        *feature++ = deviation_of(s.pairs, s.step, s.steps_squared);
        *feature++ = (int16_t)(MODEL_STEPS - s.n);
        *feature++ = (int16_t)s.still;
        bands = feature;
        feature = parts_of(x, mean, feature + BANDS); /* before the bands, which use the samples up */
        bands_of(x, mean, bands);
    }
}
