/* Where the numbers of the loaded model lie: components/quantization/targets/c99/blob.py writes them. */

enum { HEADER = 96, SHAPE = 24, DIGEST = 32, MODEL_SHA256 = 64, RECORD = 32 };

/* Words of the directory behind the header. */
enum {
    ARENA_USED, VECTORS, OPERATIONS, AT_OPERATIONS, AT_INPUT, AT_CORRECTION, AT_HEADS, AT_NUMBERS, NUMBER_KNOTS, AT_KNOT,
    NUMBER_THRESHOLD, NUMBER_RAISE, NUMBER_CLEAR, NUMBER_GAIN, AT_DEVIATION, AT_CENTER, AT_MULTIPLIER, NUMBER_RESIDUAL_INPUT,
    NUMBER_RESIDUAL_OUTPUT, NUMBER_CORE_FIRST, NUMBER_CORE_LAST, NUMBER_CORRECTION_ZERO, AT_CHANNEL_WEIGHT, AT_CONDITION_WEIGHT,
    AT_POINT, AT_REGIME_CENTER, AT_REGIME_MULTIPLIER, AT_GAUGES, AT_WIDE, AT_TEST_CENTER, AT_TEST_MULTIPLIER, AT_TEST_RAW,
    AT_TEST_SURPRISE, AT_TEST_CLASSES, AT_TEST_VALUES, DIRECTORY
};

typedef struct {
    const uint8_t *base;
    const int32_t *word; /* the directory */
    uint32_t size;
} model_place;

static model_place loaded = {(const uint8_t *)model_blob, (const int32_t *)model_blob + HEADER / 4, 0};

static const void *place(const model_place *m, int entry)
{
    return m->base + (uint32_t)m->word[entry];
}

#define WORD(entry) (loaded.word[entry])
#define TABLE(kind, entry) ((const kind *)place(&loaded, entry))

#define KNOTS WORD(NUMBER_KNOTS)
#define KNOT ((const int32_t(*)[2])place(&loaded, AT_KNOT))
#define RAISE_AFTER WORD(NUMBER_RAISE)
#define CLEAR_AFTER WORD(NUMBER_CLEAR)
#define GAIN (uint32_t)WORD(NUMBER_GAIN)
#define MIN_DEVIATION TABLE(uint32_t, AT_DEVIATION)
#define FALLBACK_CENTER TABLE(int32_t, AT_CENTER)
#define FALLBACK_MULTIPLIER TABLE(int32_t, AT_MULTIPLIER)
#define RESIDUAL_INPUT WORD(NUMBER_RESIDUAL_INPUT)
#define RESIDUAL_OUTPUT WORD(NUMBER_RESIDUAL_OUTPUT)
#define CORE_FIRST WORD(NUMBER_CORE_FIRST)
#define CORE_LAST WORD(NUMBER_CORE_LAST)
#define CORRECTION_ZERO WORD(NUMBER_CORRECTION_ZERO)
#define CHANNEL_WEIGHT TABLE(int32_t, AT_CHANNEL_WEIGHT)
#define CONDITION_WEIGHT TABLE(int32_t, AT_CONDITION_WEIGHT)
#define POINT ((const int32_t(*)[CONDITIONS])place(&loaded, AT_POINT))
#define REGIME_CENTER ((const int32_t(*)[MODEL_CHANNELS])place(&loaded, AT_REGIME_CENTER))
#define REGIME_MULTIPLIER ((const int32_t(*)[MODEL_CHANNELS])place(&loaded, AT_REGIME_MULTIPLIER))
#define INPUT (arena.bytes + WORD(AT_INPUT))
#define CORRECTION (arena.bytes + WORD(AT_CORRECTION))
#define HEAD(task) (arena.bytes + TABLE(int32_t, AT_HEADS)[task])
#define CENTER TABLE(int32_t, AT_TEST_CENTER)
#define MULTIPLIER TABLE(int32_t, AT_TEST_MULTIPLIER)
#define RAW ((const int16_t(*)[MODEL_STEPS][MODEL_CHANNELS])place(&loaded, AT_TEST_RAW))
#define SURPRISE TABLE(int32_t, AT_TEST_SURPRISE)
#define CLASSES ((const int8_t(*)[MODEL_TASKS])place(&loaded, AT_TEST_CLASSES))
#define VALUES ((const int32_t(*)[MODEL_VALUES])place(&loaded, AT_TEST_VALUES))
#undef MODEL_THRESHOLD
#define MODEL_THRESHOLD WORD(NUMBER_THRESHOLD)
#undef MODEL_VECTORS
#define MODEL_VECTORS WORD(VECTORS)

static union {
    int8_t bytes[(MODEL_ARENA + 3) / 4 * 4];
    int16_t codes16[(MODEL_ARENA + 3) / 4 * 2];
    uint32_t words[1];
} arena;
