/* Boosted trees in integers, bit for bit IntegerTrees of components/runtime/ensemble.py.

   Nodes lie depth first, a left child next to its parent. A part of a tree with n nodes has n + 1 leaves, from left to right:
   the number of nodes below the left child tells where the right child is, and which leaves are its own. */

/* Samples in the order 0, 1, ... from the missing one on; where that goes right, it comes last instead. */
static int goes_right(node asked, const model_sample *features)
{
    const uint32_t last = MISSING(asked);
    return (sample_order)((uint32_t)features[FEATURE(asked)] + SAMPLE_HALF - last) > LIMIT(asked) - last;
}

void model_run(const model_sample features[MODEL_FEATURES], int32_t margins[MODEL_OUTPUTS])
{
    uint32_t tree = 0, first = 0;
    for (int output = 0; output < MODEL_OUTPUTS; output++) {
        const uint32_t last = tree + TREES[output];
        int32_t sum = BIAS[output];
        for (; tree < last; tree++) {
            uint32_t n = SIZE[tree], at = first, leaf = first + tree;
            first += n;
            while (n) {
                const node asked = node_at(at++);
                const uint32_t left = LEFT(asked);
                if (goes_right(asked, features)) {
                    at += left;
                    leaf += left + 1;
                    n -= left + 1;
                } else
                    n = left;
            }
            sum += LEAF(leaf);
        }
        margins[output] = sum;
    }
}
