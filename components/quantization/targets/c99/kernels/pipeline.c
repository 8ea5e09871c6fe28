/* From raw samples to an alarm: the integers of Muster's components/runtime, bit for bit. */

void model_init(model_state *state)
{
    memset(state, 0, sizeof *state);
    memcpy(state->center, FALLBACK_CENTER, sizeof state->center);
    memcpy(state->multiplier, FALLBACK_MULTIPLIER, sizeof state->multiplier);
}

#if MODEL_CALIBRATION_STEPS > 0
#define UNHEARD INT32_MIN

static void end_of_means(model_state *state)
{
    for (int c = 0; c < MODEL_CHANNELS; c++) {
        state->mean[c] = state->count[c] ? (int32_t)(state->sum[c] / state->count[c]) - 32768 : UNHEARD;
        state->sum[c] = state->count[c] = 0;
    }
}

static void end_of_deviations(model_state *state)
{
    for (int c = 0; c < MODEL_CHANNELS; c++) {
        uint64_t deviation, multiplier;
        if (!state->count[c]) continue;
        deviation = state->sum[c] / state->count[c];
        if (deviation < MIN_DEVIATION[c]) deviation = MIN_DEVIATION[c];
        multiplier = GAIN / (deviation ? deviation : 1);
        state->center[c] = state->mean[c];
        state->multiplier[c] = (int32_t)(multiplier < (1 << 30) ? multiplier : (1 << 30));
    }
}
#endif

int model_calibrate(model_state *state, const int16_t sample[MODEL_CHANNELS])
{
#if MODEL_CALIBRATION_STEPS > 0
    if (state->samples >= 2u * MODEL_CALIBRATION_STEPS) return 0;
    for (int c = 0; c < MODEL_CHANNELS; c++) {
        int32_t value = (int32_t)sample[c] + 32768;
        if (sample[c] == MODEL_MISSING) continue;
        if (state->samples >= MODEL_CALIBRATION_STEPS) {
            if (state->mean[c] == UNHEARD) continue;
            value = sample[c] - state->mean[c];
        }
        state->sum[c] += (uint32_t)(value < 0 ? -value : value);
        state->count[c]++;
    }
    state->samples++;
    if (state->samples == MODEL_CALIBRATION_STEPS) end_of_means(state);
    if (state->samples < 2u * MODEL_CALIBRATION_STEPS) return 1;
    end_of_deviations(state);
#else
    (void)state;
    (void)sample;
#endif
    return 0;
}

static void read_codes(const model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS])
{
    int8_t *code = INPUT;
    for (int t = 0; t < MODEL_STEPS; t++)
        for (int c = 0; c < MODEL_CHANNELS; c++) {
            const int64_t wide = (int64_t)(raw[t][c] - state->center[c]) * state->multiplier[c];
            const int64_t scaled = (wide + (1 << 15)) >> 16;
            *code++ = (int8_t)(raw[t][c] == MODEL_MISSING ? 0 : scaled < -127 ? -127 : scaled > 127 ? 127 : scaled);
        }
}

/* Mean square of input minus correction over the samples that are there, weighted by channel; 2^-10. */
static int64_t residual(const int16_t raw[MODEL_STEPS][MODEL_CHANNELS])
{
    int64_t weighted = 0;
    int32_t present = 0;
    for (int c = 0; c < MODEL_CHANNELS; c++) {
        const int8_t *x = INPUT + c, *y = CORRECTION + c;
        int64_t sum = 0;
        for (int t = 0; t < MODEL_STEPS; t++, x += MODEL_CHANNELS, y += MODEL_CHANNELS) {
            const int32_t difference = (*x * RESIDUAL_INPUT - (*y - CORRECTION_ZERO) * RESIDUAL_OUTPUT) >> 6;
            if (raw[t][c] == MODEL_MISSING) continue;
            sum += (int64_t)difference * difference;
            present++;
        }
        weighted += sum * CHANNEL_WEIGHT[c];
    }
    return ((weighted >> 8) / (present ? present : 1)) >> 10;
}

#if MIX_DISTANCE > 0
/* Mahalanobis distance of the embedding from normal windows over its width; 2^-10. */
static int64_t distance(void)
{
    int32_t centred[WIDTH];
    int64_t sum = 0;
    for (int i = 0; i < WIDTH; i++) centred[i] = (EMBEDDING[i] - EMBEDDING_ZERO) * 16 - EMBEDDING_MEAN[i];
    for (int i = 0; i < WIDTH; i++) {
        int64_t white = 0;
        for (int j = 0; j < WIDTH; j++) white += (int64_t)WHITENING[i][j] * centred[j];
        white >>= WHITENING_SHIFT + 4 - 10;
        sum += white * white;
    }
    return (sum / WIDTH) >> 10;
}
#endif

/* 256 * log2(value): position of the highest bit and a table. */
static int32_t log2_q8(int64_t value)
{
    int top = 0;
    if (value < 1) value = 1;
    for (int64_t rest = value; rest > 1; rest >>= 1) top++;
    return (top << 8) + LOG2_TABLE[(top >= 8 ? value >> (top - 8) : value << (8 - top)) & 255];
}

static int32_t surprise_of(int32_t score)
{
    int i = 0;
    int64_t rise, run, bits;
    while (i < KNOTS - 2 && score >= KNOT[i + 1][0]) i++;
    rise = (int64_t)(score - KNOT[i][0]) * (KNOT[i + 1][1] - KNOT[i][1]);
    run = KNOT[i + 1][0] - KNOT[i][0];
    bits = rise < 0 ? -((-rise + run - 1) / run) : rise / run; /* rounded down */
    bits += KNOT[i][1];
    return (int32_t)(bits < 0 ? 0 : bits > 65535 ? 65535 : bits);
}

static void follow_alarm(model_state *state, int hot)
{
    state->run = (uint16_t)(hot != state->alarm ? state->run + 1 : 0);
    if (state->run < (state->alarm ? CLEAR_AFTER : RAISE_AFTER)) return;
    state->alarm = !state->alarm;
    state->run = 0;
}
$largest
void model_run(model_state *state, const int16_t raw[MODEL_STEPS][MODEL_CHANNELS], model_result *result)
{
    int64_t sum;
    read_codes(state, raw);
    network();
    sum = residual(raw) * MIX_RESIDUAL;
#if MIX_DISTANCE > 0
    sum += distance() * MIX_DISTANCE;
#endif
    result->surprise = surprise_of(log2_q8(sum >> 16));
    follow_alarm(state, result->surprise >= MODEL_THRESHOLD);
    result->alarm = state->alarm;
$classes}
