/* From raw samples to the raw score of a network: components/runtime/scoring.py. */

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

$largest$gauge
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
$classes$values}
