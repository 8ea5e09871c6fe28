
/* Operating conditions: components/runtime/conditions.py, bit for bit. */
static uint8_t regime[MODEL_STEPS];

/* The regime nearest to a sample. */
static uint8_t regime_of(const int16_t sample[MODEL_CHANNELS])
{
    uint8_t best = 0;
    int64_t least = INT64_MAX;
    for (int r = 0; r < REGIMES; r++) {
        int64_t sum = 0;
        for (int i = 0; i < CONDITIONS; i++) {
            const int16_t told = sample[CONDITION[i]];
            const int64_t away = ((int64_t)(told - POINT[r][i]) * CONDITION_WEIGHT[i]) >> 16;
            if (told != MODEL_MISSING) sum += away * away;
        }
        if (sum < least) {
            least = sum;
            best = (uint8_t)r;
        }
    }
    return best;
}

static int16_t under(int16_t raw, int r, int c)
{
    const int64_t wide = ((int64_t)(raw - REGIME_CENTER[r][c]) * REGIME_MULTIPLIER[r][c] + (1 << 15)) >> 16;
    if (raw == MODEL_MISSING) return raw;
    return (int16_t)(wide < -32767 ? -32767 : wide > 32767 ? 32767 : wide);
}

static void read_regimes(const int16_t raw[MODEL_STEPS][MODEL_CHANNELS])
{
    for (int t = 0; t < MODEL_STEPS; t++) regime[t] = regime_of(raw[t]);
}

/* A sample as it stands in its regime. */
#define READ(raw, t, c) under(raw[t][c], regime[t], c)
