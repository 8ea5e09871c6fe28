#include "muster_image.h"

#include <string.h>

enum { FORMAT = 1, ID = 8, SIGNATURE = 64, IDS = MUSTER_SIGNED, SIGNATURES = IDS + 2 * ID };

static uint64_t number(const uint8_t *bytes, int count)
{
    uint64_t value = 0;
    while (count--) value = value << 8 | bytes[count];
    return value;
}

/* The trusted key of a key id, or null. */
static const uint8_t *key_of(const uint8_t id[ID], const muster_trust *trust)
{
    for (uint32_t i = 0; i < trust->key_count; i++) {
        uint8_t digest[32];
        muster_sha256_state hash;
        muster_sha256_start(&hash);
        muster_sha256_add(&hash, trust->keys[i], 32);
        muster_sha256_end(&hash, digest);
        if (!memcmp(digest, id, ID)) return trust->keys[i];
    }
    return NULL;
}

static int is_signed_twice(const uint8_t *header, const muster_trust *trust)
{
    const uint8_t *first = key_of(header + IDS, trust), *second = key_of(header + IDS + ID, trust);
    if (!first || !second || !memcmp(first, second, 32)) return 0;
    return muster_ed25519_verify(header + SIGNATURES, header, MUSTER_SIGNED, first) &&
           muster_ed25519_verify(header + SIGNATURES + SIGNATURE, header, MUSTER_SIGNED, second);
}

muster_reason muster_image_check_header(const uint8_t header[MUSTER_HEADER], uint64_t whole, const muster_trust *trust)
{
    const uint8_t kind = header[10];
    if (whole != MUSTER_HEADER + number(header + 24, 4)) return MUSTER_WRONG_SIZE;
    if (memcmp(header, "MUSTERIM", 8)) return MUSTER_BAD_MAGIC;
    if (number(header + 8, 2) != FORMAT || header[11] || number(header + 28, 4)) return MUSTER_UNKNOWN_VERSION;
    if (kind != MUSTER_KIND_FIRMWARE && kind != MUSTER_KIND_MODEL) return MUSTER_UNKNOWN_VERSION;
    if (kind != trust->kind) return MUSTER_WRONG_KIND;
    if (kind == MUSTER_KIND_MODEL && number(header + 12, 2) != trust->interface_major) return MUSTER_WRONG_INTERFACE;
    if (memcmp(header + 32, trust->profile, 32)) return MUSTER_WRONG_HARDWARE;
    if (!is_signed_twice(header, trust)) return MUSTER_BAD_SIGNATURE;
    if (muster_image_sequence(header) <= trust->floor) return MUSTER_SEQUENCE_ROLLBACK;
    return MUSTER_ACCEPTED;
}

muster_reason muster_image_check_digest(const uint8_t header[MUSTER_HEADER], muster_sha256_state *payload)
{
    uint8_t digest[32];
    const uint64_t length = payload->length;
    muster_sha256_end(payload, digest);
    if (length != number(header + 24, 4) || memcmp(digest, header + 64, 32)) return MUSTER_WRONG_DIGEST;
    return MUSTER_ACCEPTED;
}

muster_reason muster_image_verify(const uint8_t *image, uint64_t size, const muster_trust *trust)
{
    muster_sha256_state payload;
    muster_reason reason;
    if (size < MUSTER_HEADER) return MUSTER_WRONG_SIZE;
    reason = muster_image_check_header(image, size, trust);
    if (reason != MUSTER_ACCEPTED) return reason;
    muster_sha256_start(&payload);
    muster_sha256_add(&payload, image + MUSTER_HEADER, (size_t)(size - MUSTER_HEADER));
    return muster_image_check_digest(image, &payload);
}

uint64_t muster_image_sequence(const uint8_t header[MUSTER_HEADER]) { return number(header + 16, 8); }
