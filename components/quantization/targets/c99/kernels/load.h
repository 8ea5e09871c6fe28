/* Take a new model without new firmware: $title.
   Build model_loader.c, model_blob.c, muster_sha2.c and muster_image.c with its like in place of model.c and model_selftest.c.
   model.h stays as it is: a blob fits only where its windows, channels, tasks and classes are those declared there. */
#ifndef MODEL_LOAD_H
#define MODEL_LOAD_H

#include "model.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Static memory for tensors. More than this model needs leaves room for larger ones. */
#ifndef MODEL_ARENA
#define MODEL_ARENA $arena
#endif

/* In the order of the checks. */
typedef enum {
    MODEL_LOADED = 0,
    MODEL_BLOB_SIZE = 1,      /* shorter than a header, or not as long as it says */
    MODEL_BLOB_ALIGNMENT = 2, /* not at a multiple of four */
    MODEL_BLOB_MAGIC = 3,     /* no blob, or of the other byte order */
    MODEL_BLOB_VERSION = 4,   /* another format */
    MODEL_BLOB_INTERFACE = 5, /* another major number of the interface */
    MODEL_BLOB_DIGEST = 6,
    MODEL_BLOB_SHAPE = 7,   /* other windows, channels, tasks, classes or conditions than in model.h */
    MODEL_BLOB_KERNELS = 8, /* needs operations that this firmware does not have */
    MODEL_BLOB_ARENA = 9,   /* needs more memory than MODEL_ARENA */
    MODEL_BLOB_TABLES = 10, /* a table outside of the blob, or with numbers that the arithmetic does not hold */
    MODEL_BLOB_GRAPH = 11   /* an operation that reads or writes outside of its tensors, or whose sums may overflow */
} model_load_reason;

/* Run this model from now on. The blob stays where it is, in flash as a rule, for as long as it runs; nothing is copied. When it
   is refused, what ran before goes on; at first that is model_blob. Afterwards: model_init for each sensor whose scaling is to be learned anew, and model_selftest before results count. */
model_load_reason model_load(const void *blob, uint32_t size);

/* Of the loaded model: vectors of its self-test, its digest of 32 bytes. */
int model_vectors(void);
const uint8_t *model_digest(void);

/* The model that this firmware was made with, which runs until another one is loaded. */
extern const uint32_t model_blob[];

#ifdef __cplusplus
}
#endif
#endif
