/* Words of a gauge: zero, middle, low, high, and the multiplier's lower and upper half. */
static gauge gauge_of(const model_place *m, int number)
{
    const int32_t *w = (const int32_t *)place(m, AT_GAUGES) + 6 * number;
    const gauge made = {w[0], (int64_t)((uint64_t)(uint32_t)w[5] << 32 | (uint32_t)w[4]), w[1], w[2], w[3]};
    return made;
}

static int32_t read_value(int number)
{
    const gauge g = gauge_of(&loaded, number);
    return value_of(&g, arena.bytes[TABLE(int32_t, AT_NUMBERS)[number]]);
}
