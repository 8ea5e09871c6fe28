/* 256 * log2 of the odds against class 0; logits are in 2^-10. */
static int32_t log_odds(const int32_t *logits, int classes)
{
    int32_t most = logits[1] - logits[0], sum = 0;
    for (int k = 2; k < classes; k++)
        if (logits[k] - logits[0] > most) most = logits[k] - logits[0];
    for (int k = 1; k < classes; k++) {
        const int32_t below = most - (logits[k] - logits[0]);
        if (below >> 10 < 31) sum += EXP2_TABLE[(below >> 2) & 255] >> (below >> 10);
    }
    return (most >> 2) + log2_q8(sum) - 15 * 256;
}
