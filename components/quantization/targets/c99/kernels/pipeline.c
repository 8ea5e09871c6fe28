/* From raw samples to the raw score of a network: components/runtime/scoring.py. */

static void read_codes(const model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS])
{
    int8_t *code = INPUT;
    for (int t = 0; t < MODEL_STEPS; t++) {
        for (int c = 0; c < MODEL_CHANNELS; c++) {
            const int64_t wide = (int64_t)(READ(raw, t, c) - state->center[c]) * state->multiplier[c];
            const int64_t scaled = (wide + (1 << 15)) >> 16;
            *code++ = (int8_t)(raw[t][c] == MODEL_MISSING ? 0 : scaled < -127 ? -127 : scaled > 127 ? 127 : scaled);
        }
#if OPTIONALS > 0
        for (int i = 0; i < OPTIONALS; i++) *code++ = raw[t][OPTIONAL[i]] == MODEL_MISSING ? ABSENT : 0;
#endif
    }
}

/* The largest integer whose square is at most the value, bit by bit. */
static int64_t isqrt(uint64_t value)
{
    uint64_t root = 0, bit = UINT64_C(1) << 62;
    while (bit > value) bit >>= 2;
    for (; bit; bit >>= 2) {
        const int fits = value >= root + bit;
        if (fits) value -= root + bit;
        root = (root >> 1) + (fits ? bit : 0);
    }
    return (int64_t)root;
}

/* Mean over channels of the root mean square of input minus correction in the core, weighted by channel; 2^-10. */
static int64_t residual(const int16_t raw[MODEL_STEPS][MODEL_CHANNELS])
{
    int64_t roots = 0;
    int32_t heard = 0;
    for (int c = 0; c < MODEL_CHANNELS; c++) {
        int64_t sum = 0;
        int32_t samples = 0;
        for (int t = CORE_FIRST; t < CORE_LAST; t++) {
            const int8_t x = INPUT[t * (MODEL_CHANNELS + OPTIONALS) + c], y = CORRECTION[t * MODEL_CHANNELS + c];
            const int32_t difference = (x * RESIDUAL_INPUT - (y - CORRECTION_ZERO) * RESIDUAL_OUTPUT) >> 6;
            if (raw[t][c] == MODEL_MISSING) continue;
            sum += (int64_t)difference * difference;
            samples++;
        }
        if (!samples) continue;
        roots += isqrt((uint64_t)(sum / samples * CHANNEL_WEIGHT[c]) >> 8);
        heard++;
    }
    return roots / (heard ? heard : 1);
}

$largest$wide$gauge
void model_run(model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS], model_result *result)
{
    read_regimes(raw);
    read_codes(state, raw);
    network();
    result->surprise = surprise_of(log2_q8(residual(raw)));
    follow_alarm(state, result->surprise >= MODEL_THRESHOLD);
    result->alarm = state->alarm;
$classes$values}
