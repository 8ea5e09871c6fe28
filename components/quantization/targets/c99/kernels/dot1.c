/* Signs of weights, eight a byte, the first in the lowest bit: 1 for plus. Rows begin at whole bytes. */
#define ROW1(n) (((n) + 7) / 8)

static int32_t dot1bit(const int8_t *w, const int8_t *x, int n)
{
    int32_t sum = 0;
    while (n > 0) {
        uint32_t signs = (uint8_t)*w++;
        for (int i = n < 8 ? n : 8; i > 0; i--, signs >>= 1, x++) sum += signs & 1 ? *x : -*x;
        n -= 8;
    }
    return sum;
}
