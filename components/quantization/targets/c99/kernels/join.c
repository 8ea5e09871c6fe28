/* Every row of x, of n codes, into every row of y, of which it is a part. */
static void join(const int8_t *x, int8_t *restrict y, int rows, int n, int row)
{
    for (; rows > 0; rows--, x += n, y += row) memcpy(y, x, (size_t)n);
}
