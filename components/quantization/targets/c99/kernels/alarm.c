/* From a raw score to surprise and alarm: components/runtime/surprise.py. */

/* 256 * log2(value): position of the highest bit and a table. */
static int32_t log2_q8(int64_t value)
{
    int top = 0;
    if (value < 1) value = 1;
    for (int64_t rest = value; rest > 1; rest >>= 1) top++;
    return (top << 8) + LOG2_TABLE[(top >= 8 ? value >> (top - 8) : value << (8 - top)) & 255];
}

static int32_t surprise_of(int32_t score)
{
    int i = 0;
    int64_t rise, run, bits;
    while (i < KNOTS - 2 && score >= KNOT[i + 1][0]) i++;
    rise = (int64_t)(score - KNOT[i][0]) * (KNOT[i + 1][1] - KNOT[i][1]);
    run = KNOT[i + 1][0] - KNOT[i][0];
    bits = rise < 0 ? -((-rise + run - 1) / run) : rise / run; /* rounded down */
    bits += KNOT[i][1];
    return (int32_t)(bits < 0 ? 0 : bits > 65535 ? 65535 : bits);
}

static void follow_alarm(model_state *state, int hot)
{
    state->run = (uint16_t)(hot != state->alarm ? state->run + 1 : 0);
    if (state->run < (state->alarm ? CLEAR_AFTER : RAISE_AFTER)) return;
    state->alarm = !state->alarm;
    state->run = 0;
}
