/* Boosted trees in integers, bit for bit components/runtime/trees.py. */

/* As heaps one after the other, ordered by the class that they speak for; a tree of depth d has 2^d - 1 nodes. */
typedef struct {
    const feature_index *feature;
    const int16_t *threshold, *leaf;
    const uint8_t *depth;
    const uint16_t *trees; /* of each class */
    const int32_t *bias;
    int classes;
} forest;

static void ask(const forest *f, int32_t *logits)
{
    const feature_index *feature = f->feature;
    const int16_t *threshold = f->threshold, *leaf = f->leaf;
    const uint8_t *depth = f->depth;
    for (int k = 0; k < f->classes; k++) {
        logits[k] = f->bias[k];
        for (int tree = 0; tree < f->trees[k]; tree++) {
            const int inner = (1 << *depth++) - 1;
            int node = 0;
            while (node < inner) node = 2 * node + 1 + (features[feature[node]] >= threshold[node]);
            logits[k] += leaf[node - inner];
            feature += inner;
            threshold += inner;
            leaf += inner + 1;
        }
    }
}
