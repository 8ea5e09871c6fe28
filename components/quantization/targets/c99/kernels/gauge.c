
/* How a code becomes a value: value = middle + (code - zero) * multiplier / 65536, to nearest, from low to high. */
typedef struct {
    int32_t zero;
    int64_t multiplier;
    int32_t middle, low, high;
} gauge;

static int32_t value_of(const gauge *g, int32_t code)
{
    const int64_t value = g->middle + (((code - g->zero) * g->multiplier + (1 << 15)) >> 16);
    return (int32_t)(value < g->low ? g->low : value > g->high ? g->high : value);
}
