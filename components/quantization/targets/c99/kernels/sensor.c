/* One sensor and the scaling it learns: the integers of Muster's components/runtime/scaling.py, bit for bit. */

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
        if (!state->count[c] || MIN_DEVIATION[c] == UINT32_MAX) continue;
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
    const int r = regime_of(sample);
    (void)r;
    for (int c = 0; c < MODEL_CHANNELS; c++) {
        const int16_t read = under(sample[c], r, c);
        int32_t value = (int32_t)read + 32768;
        if (sample[c] == MODEL_MISSING) continue;
        if (state->samples >= MODEL_CALIBRATION_STEPS) {
            if (state->mean[c] == UNHEARD) continue;
            value = read - state->mean[c];
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
