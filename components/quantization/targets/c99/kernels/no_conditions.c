
/* One operating condition. */
#define regime_of(sample) 0
#define under(raw, regime, channel) (raw)
#define read_regimes(raw) (void)0
#define READ(raw, t, c) raw[t][c]
