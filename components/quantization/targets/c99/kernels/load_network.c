static void network(void)
{
    const int32_t *w = TABLE(int32_t, AT_OPERATIONS);
    for (int32_t i = 0; i < WORD(OPERATIONS); i++, w += RECORD) switch (w[KIND]) {
        case KIND_LAYER: run_layer(w); break;
        case KIND_SUM: run_sum(w); break;
        case KIND_TABLE: run_table(w); break;
#if HAS_16
        case KIND_LAYER_16: run_layer16(w); break;
        case KIND_SUM_16: run_sum16(w); break;
        default: run_ramp(w); break;
#endif
        }
}
