/* What muster_image.c stands on: SHA-2 (FIPS 180-4) and the check of an Ed25519 signature (RFC 8032). */
#ifndef MUSTER_CRYPTO_H
#define MUSTER_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
} muster_sha256_state;

typedef struct {
    uint64_t state[8];
    uint64_t length;
    uint8_t block[128];
} muster_sha512_state;

void muster_sha256_start(muster_sha256_state *hash);
void muster_sha256_add(muster_sha256_state *hash, const uint8_t *data, size_t size);
void muster_sha256_end(muster_sha256_state *hash, uint8_t digest[32]);

void muster_sha512_start(muster_sha512_state *hash);
void muster_sha512_add(muster_sha512_state *hash, const uint8_t *data, size_t size);
void muster_sha512_end(muster_sha512_state *hash, uint8_t digest[64]);

/* 1 when the signature of the message is by the key. Refused besides: S not below the order of the group, a key that
   is no point, is not written canonically, or is of small order. Takes time that depends on its arguments, which are
   public. */
int muster_ed25519_verify(const uint8_t signature[64], const uint8_t *message, size_t size, const uint8_t key[32]);

#ifdef __cplusplus
}
#endif
#endif
