/* Words of a wide part: where weights, bases and biases lie, shift, gain, zero. */
static int8_t decide(int part, int classes, const int8_t *logits)
{
    const int32_t *w = TABLE(int32_t, AT_WIDE) + 8 * part;
    const wide made = {
        (const int16_t *)(const void *)(loaded.base + w[0]),
        (const int32_t *)(const void *)(loaded.base + w[1]),
        (const int32_t *)(const void *)(loaded.base + w[2]),
        w[3], w[4], (int16_t)w[5], (int16_t)classes,
    };
    return decided(&made, logits);
}
