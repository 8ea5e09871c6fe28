/* Linear parts beside the network: components/runtime/wide.py. */

typedef struct {
    const int16_t *weight; /* class by class, channel by channel */
    const int32_t *base;   /* channel by channel, class by class */
    const int32_t *bias;
    int32_t shift, gain;
    int16_t zero, classes;
} wide;

/* The class with the largest sum of the wide part and the network's logits. */
static int8_t decided(const wide *w, const int8_t *logits)
{
    int64_t sum[MOST_CLASSES], most = INT64_MIN;
    const int16_t *weight = w->weight;
    int best = 0;
    for (int k = 0; k < w->classes; k++) {
        int64_t total = 0, rest = w->bias[k];
        for (int c = 0; c < MODEL_CHANNELS; c++, weight += NAMES) {
            const int16_t *feature = features + c * NAMES;
            if (feature[MISSING_AT] == MODEL_STEPS) continue; /* a silent channel says nothing */
            rest += w->base[c * w->classes + k];
            for (int i = 0; i < NAMES; i++) total += (int32_t)weight[i] * (feature[i] * (1 << UNIT[i]));
        }
        sum[k] = (total >> w->shift) + rest;
        if (sum[k] > most) most = sum[k];
    }
    for (int k = 0; k < w->classes; k++) {
        sum[k] = (sum[k] - most < -CAP ? -CAP : sum[k] - most) + (logits[k] - w->zero) * w->gain;
        if (sum[k] > sum[best]) best = k;
    }
    return (int8_t)best;
}
