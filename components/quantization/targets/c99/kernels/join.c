/* Every row of x, of n codes, into every row of y, of which it is a part. */
static void join${n}(const $code *x, $code *restrict y, int rows, int n, int row)
{
    for (; rows > 0; rows--, x += n, y += row) memcpy(y, x, (size_t)n * sizeof *x);
}
