/* Logistic, or tanh as 2 * logistic(2x) - 1, of x * multiplier * 2^-shift, which is in 2^-12 / 3; 2^16 * logistic(i / 24) lies in
   SIGMOID, and what is between is interpolated. */
static void curve(int tanh, int32_t multiplier, int shift, const int16_t *x, int16_t *y, int n)
{
    const int bits = tanh ? 8 : 9;
    for (; n > 0; n--) {
        const int32_t at = (*x++ * multiplier + ((1 << shift) >> 1)) >> shift, away = at < 0 ? -at : at, place = away >> bits;
        const int32_t low = SIGMOID[place < 255 ? place : 255], high = SIGMOID[place < 255 ? place + 1 : 255];
        const int32_t rest = away & ((1 << bits) - 1), most = tanh ? 0xFFFF << 8 : 0x7FFF << 10;
        const int32_t share = place < 255 ? low * (1 << bits) + rest * (high - low) : most;
        if (tanh) *y++ = (int16_t)((at < 0 ? (1 << 23) + 127 - share : share - (1 << 23) + 128) >> 8);
        else *y++ = (int16_t)((at < 0 ? (1 << 25) + 511 - share : share + 512) >> 10);
    }
}
