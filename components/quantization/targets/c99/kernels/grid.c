/* Loops over an elementwise result, outermost first, with the steps of both operands: 0 where one repeats. */
typedef struct {
    int32_t sizes[4], left[4], right[4];
} grid;
