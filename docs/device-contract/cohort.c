/* Who belongs to a stage: the cohort of docs/device-contract.md in C99, without heap and without floating point.
 *
 * SHA-256 is the one of every package of a c99 artefact (muster_crypto.h, muster_sha2.c); any other does as well.
 *
 *     cc -std=c99 -I<package>/src cohort.c <package>/src/muster_sha2.c -o cohort
 *     ./cohort SALT DEVICE_ID UPTO DEFERRED_TO PINNED DEFERRED ...
 *
 * prints "bucket pin yes|no" for every six arguments; PINNED and DEFERRED are pins, one after the other.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "muster_crypto.h"

#define BUCKETS 10000000u
#define PIN_DIGITS 16

/* The domain ends with a zero byte, which sizeof counts; the length of the salt is big-endian. */
#define DIGEST(domain, salt, device_id, out) digest_of((const uint8_t *)domain, sizeof domain, salt, device_id, out)

static void digest_of(const uint8_t *domain, size_t size, const char *salt, const char *device_id, uint8_t out[32])
{
    muster_sha256_state hash;
    const size_t length = strlen(salt);
    const uint8_t prefix[2] = {(uint8_t)(length >> 8), (uint8_t)length};
    muster_sha256_start(&hash);
    muster_sha256_add(&hash, domain, size);
    muster_sha256_add(&hash, prefix, 2);
    muster_sha256_add(&hash, (const uint8_t *)salt, length);
    muster_sha256_add(&hash, (const uint8_t *)device_id, strlen(device_id));
    muster_sha256_end(&hash, out);
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* (u64 * 10^7) >> 64 in two halves: no compiler for a microcontroller has 128 bits. */
uint32_t cohort_bucket(const char *salt, const char *device_id)
{
    uint8_t digest[32];
    DIGEST("rollout-cohort/v1", salt, device_id, digest);
    const uint64_t low = (uint64_t)big_endian(digest + 4) * BUCKETS >> 32;
    return (uint32_t)(((uint64_t)big_endian(digest) * BUCKETS + low) >> 32);
}

/* How a manifest names a single device: 16 hex digits. */
void cohort_pin(const char *salt, const char *device_id, char pin[PIN_DIGITS + 1])
{
    uint8_t digest[32];
    DIGEST("rollout-pin/v1", salt, device_id, digest);
    for (int i = 0; i < PIN_DIGITS / 2; i++) {
        sprintf(pin + 2 * i, "%02x", digest[i]);
    }
}

static int names(const char *pins, const char *pin)
{
    for (; strlen(pins) >= PIN_DIGITS; pins += PIN_DIGITS) {
        if (memcmp(pins, pin, PIN_DIGITS) == 0) {
            return 1;
        }
    }
    return 0;
}

/* Whether the stage that ends at `upto` takes the device. */
int cohort_takes(const char *salt, const char *device_id, uint32_t upto, uint32_t deferred_to, const char *pinned, const char *deferred)
{
    char pin[PIN_DIGITS + 1];
    uint32_t own = cohort_bucket(salt, device_id);
    cohort_pin(salt, device_id, pin);
    if (names(pinned, pin)) {
        return 0;
    }
    if (names(deferred, pin) && own < deferred_to) {
        own = deferred_to;
    }
    return own < upto;
}

int main(int argc, char **argv)
{
    for (int i = 1; i + 5 < argc; i += 6) {
        char pin[PIN_DIGITS + 1];
        const uint32_t upto = (uint32_t)strtoul(argv[i + 2], NULL, 10), deferred_to = (uint32_t)strtoul(argv[i + 3], NULL, 10);
        cohort_pin(argv[i], argv[i + 1], pin);
        const int takes = cohort_takes(argv[i], argv[i + 1], upto, deferred_to, argv[i + 4], argv[i + 5]);
        printf("%" PRIu32 " %s %s\n", cohort_bucket(argv[i], argv[i + 1]), pin, takes ? "yes" : "no");
    }
    return 0;
}
