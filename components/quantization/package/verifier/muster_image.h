/* Verifier of Muster's signed images: two persons' Ed25519 signatures, a floor for the sequence number, a digest.
   C99: no heap, no floating point, nothing of the C library but memcpy, memmove, memset and memcmp.

   An envelope is a header of 272 bytes and the payload behind it; all numbers are little-endian:

     0  8  magic "MUSTERIM"         64 32  SHA-256 of the payload
     8  2  format, 1                96 32  SHA-256 of the artefact in the payload
    10  1  kind                    128  8  key id of the first signature: the first bytes of SHA-256(key)
    11  1  zero                    136  8  key id of the second
    12  2  interface, major        144 64  first signature, of bytes 0 to 127
    14  2  interface, minor        208 64  second signature, of the same
    16  8  sequence number
    24  4  bytes of the payload
    28  4  zero
    32 32  SHA-256 of the profile's name */
#ifndef MUSTER_IMAGE_H
#define MUSTER_IMAGE_H

#include "muster_crypto.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MUSTER_HEADER 272
#define MUSTER_SIGNED 128
#define MUSTER_KIND_FIRMWARE 1
#define MUSTER_KIND_MODEL 2

/* In the order of the checks; 0 is the only way in. */
typedef enum {
    MUSTER_ACCEPTED = 0,
    MUSTER_WRONG_SIZE = 1,
    MUSTER_BAD_MAGIC = 2,
    MUSTER_UNKNOWN_VERSION = 3, /* of the format, or a kind or a field that this format does not have */
    MUSTER_WRONG_KIND = 4,
    MUSTER_WRONG_INTERFACE = 5, /* of a model: its major number is not the firmware's */
    MUSTER_WRONG_HARDWARE = 6,
    MUSTER_BAD_SIGNATURE = 7, /* not two signatures by two of the trusted keys */
    MUSTER_SEQUENCE_ROLLBACK = 8,
    MUSTER_WRONG_DIGEST = 9
} muster_reason;

/* What the device knows; it lies in the bootloader, the floor where updates do not reach it. */
typedef struct {
    const uint8_t (*keys)[32]; /* of the persons who may release */
    uint32_t key_count;
    const uint8_t *profile; /* 32 bytes: SHA-256 of its hardware profile's name */
    uint8_t kind;           /* what is taken here */
    uint16_t interface_major;
    uint64_t floor; /* the sequence number of what runs: only a higher one is taken */
} muster_trust;

/* Everything but the digest, before a byte of the payload is fetched; whole: bytes of header and payload together. */
muster_reason muster_image_check_header(const uint8_t header[MUSTER_HEADER], uint64_t whole, const muster_trust *trust);

/* The last check, once the payload went through muster_sha256_add piece by piece. */
muster_reason muster_image_check_digest(const uint8_t header[MUSTER_HEADER], muster_sha256_state *payload);

/* All of it, where the whole image lies in memory. */
muster_reason muster_image_verify(const uint8_t *image, uint64_t size, const muster_trust *trust);

/* Of an accepted image: the new floor, to be stored once it has run. */
uint64_t muster_image_sequence(const uint8_t header[MUSTER_HEADER]);

#ifdef __cplusplus
}
#endif
#endif
