static void look_up(const int8_t table[256], const int8_t *x, int8_t *y, int n)
{
    while (n-- > 0) *y++ = table[*x++ + 128];
}
