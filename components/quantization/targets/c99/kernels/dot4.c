/* Weights of 4 bits, two a byte, the first in the lower half; rows begin at whole bytes. */
#define ROW4(n) (((n) + 1) / 2)

static int32_t dot4bit(const int8_t *w, const int8_t *x, int n)
{
    int32_t sum = 0;
    for (; n > 1; n -= 2, x += 2) {
        const int32_t both = *w++;
        sum += (int8_t)((uint32_t)both << 4) / 16 * x[0] + (both >> 4) * x[1];
    }
    return n ? sum + (int8_t)((uint32_t)*w << 4) / 16 * x[0] : sum;
}
