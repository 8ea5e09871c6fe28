/* Of an int16 code, between the 513 entries of a table. */
static inline int32_t between(int32_t x, const int16_t table[513])
{
    const int32_t at = x < -32768 ? -32768 : x > 32767 ? 32767 : x, place = 256 + (at >> 7);
    return table[place] + (((table[place + 1] - table[place]) * (at & 127) + 64) >> 7);
}

/* The factor makes 1/65535 of ten nats of a code's distance from the largest of its row. */
static void softmax16(int32_t multiplier, int shift, const int16_t *x, int16_t *y, int rows, int n)
{
    for (; rows > 0; rows--, x += n, y += n) {
        int32_t most = -32768, sum = 0, share;
        int headroom = 0;
        for (int i = 0; i < n; i++)
            if (x[i] > most) most = x[i];
        for (int i = 0; i < n; i++) {
            const int32_t exps = between(rescale16(x[i] - most, multiplier, shift) + 32767, EXP);
            y[i] = (int16_t)exps;
            sum += exps;
        }
        while (!((uint32_t)sum << headroom >> 31)) headroom++;
        share = (int32_t)((((int64_t)sum << (headroom - 1)) + (1 << 13)) >> 14) - (1 << 15) - (1 << 16);
        share = between(share, RECIPROCAL);
        for (int i = 0; i < n; i++) y[i] = to_code16((y[i] * share + (1 << (30 - headroom))) >> (31 - headroom), 0, 32767);
    }
}
