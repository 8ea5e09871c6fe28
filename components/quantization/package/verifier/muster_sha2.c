/* SHA-256 and SHA-512 as FIPS 180-4 has them. */
#include "muster_crypto.h"

#include <string.h>

/* Of SHA-512. Those of SHA-256 are the upper halves of the first of them, as are its start values. */
static const uint64_t K[80] = {
    UINT64_C(0x428a2f98d728ae22), UINT64_C(0x7137449123ef65cd), UINT64_C(0xb5c0fbcfec4d3b2f), UINT64_C(0xe9b5dba58189dbbc),
    UINT64_C(0x3956c25bf348b538), UINT64_C(0x59f111f1b605d019), UINT64_C(0x923f82a4af194f9b), UINT64_C(0xab1c5ed5da6d8118),
    UINT64_C(0xd807aa98a3030242), UINT64_C(0x12835b0145706fbe), UINT64_C(0x243185be4ee4b28c), UINT64_C(0x550c7dc3d5ffb4e2),
    UINT64_C(0x72be5d74f27b896f), UINT64_C(0x80deb1fe3b1696b1), UINT64_C(0x9bdc06a725c71235), UINT64_C(0xc19bf174cf692694),
    UINT64_C(0xe49b69c19ef14ad2), UINT64_C(0xefbe4786384f25e3), UINT64_C(0x0fc19dc68b8cd5b5), UINT64_C(0x240ca1cc77ac9c65),
    UINT64_C(0x2de92c6f592b0275), UINT64_C(0x4a7484aa6ea6e483), UINT64_C(0x5cb0a9dcbd41fbd4), UINT64_C(0x76f988da831153b5),
    UINT64_C(0x983e5152ee66dfab), UINT64_C(0xa831c66d2db43210), UINT64_C(0xb00327c898fb213f), UINT64_C(0xbf597fc7beef0ee4),
    UINT64_C(0xc6e00bf33da88fc2), UINT64_C(0xd5a79147930aa725), UINT64_C(0x06ca6351e003826f), UINT64_C(0x142929670a0e6e70),
    UINT64_C(0x27b70a8546d22ffc), UINT64_C(0x2e1b21385c26c926), UINT64_C(0x4d2c6dfc5ac42aed), UINT64_C(0x53380d139d95b3df),
    UINT64_C(0x650a73548baf63de), UINT64_C(0x766a0abb3c77b2a8), UINT64_C(0x81c2c92e47edaee6), UINT64_C(0x92722c851482353b),
    UINT64_C(0xa2bfe8a14cf10364), UINT64_C(0xa81a664bbc423001), UINT64_C(0xc24b8b70d0f89791), UINT64_C(0xc76c51a30654be30),
    UINT64_C(0xd192e819d6ef5218), UINT64_C(0xd69906245565a910), UINT64_C(0xf40e35855771202a), UINT64_C(0x106aa07032bbd1b8),
    UINT64_C(0x19a4c116b8d2d0c8), UINT64_C(0x1e376c085141ab53), UINT64_C(0x2748774cdf8eeb99), UINT64_C(0x34b0bcb5e19b48a8),
    UINT64_C(0x391c0cb3c5c95a63), UINT64_C(0x4ed8aa4ae3418acb), UINT64_C(0x5b9cca4f7763e373), UINT64_C(0x682e6ff3d6b2b8a3),
    UINT64_C(0x748f82ee5defb2fc), UINT64_C(0x78a5636f43172f60), UINT64_C(0x84c87814a1f0ab72), UINT64_C(0x8cc702081a6439ec),
    UINT64_C(0x90befffa23631e28), UINT64_C(0xa4506cebde82bde9), UINT64_C(0xbef9a3f7b2c67915), UINT64_C(0xc67178f2e372532b),
    UINT64_C(0xca273eceea26619c), UINT64_C(0xd186b8c721c0c207), UINT64_C(0xeada7dd6cde0eb1e), UINT64_C(0xf57d4f7fee6ed178),
    UINT64_C(0x06f067aa72176fba), UINT64_C(0x0a637dc5a2c898a6), UINT64_C(0x113f9804bef90dae), UINT64_C(0x1b710b35131c471b),
    UINT64_C(0x28db77f523047d84), UINT64_C(0x32caab7b40c72493), UINT64_C(0x3c9ebe0a15c9bebc), UINT64_C(0x431d67c49c100d4c),
    UINT64_C(0x4cc5d4becb3e42b6), UINT64_C(0x597f299cfc657e2a), UINT64_C(0x5fcb6fab3ad6faec), UINT64_C(0x6c44198c4a475817)
};

static const uint64_t START[8] = {
    UINT64_C(0x6a09e667f3bcc908), UINT64_C(0xbb67ae8584caa73b), UINT64_C(0x3c6ef372fe94f82b), UINT64_C(0xa54ff53a5f1d36f1),
    UINT64_C(0x510e527fade682d1), UINT64_C(0x9b05688c2b3e6c1f), UINT64_C(0x1f83d9abfb41bd6b), UINT64_C(0x5be0cd19137e2179)
};

static uint32_t turn32(uint32_t x, int by) { return (x >> by) | (x << (32 - by)); }
static uint64_t turn64(uint64_t x, int by) { return (x >> by) | (x << (64 - by)); }

static void compress256(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[16], v[8];
    for (int i = 0; i < 16; i++) {
        const uint8_t *p = block + 4 * i;
        w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
    }
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 64; i++) {
        const uint32_t a = v[0], e = v[4];
        const uint32_t one = v[7] + (turn32(e, 6) ^ turn32(e, 11) ^ turn32(e, 25)) + ((e & v[5]) ^ (~e & v[6])) +
                             (uint32_t)(K[i] >> 32) + w[i & 15];
        const uint32_t two = (turn32(a, 2) ^ turn32(a, 13) ^ turn32(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        const uint32_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
        w[i & 15] += (turn32(x, 7) ^ turn32(x, 18) ^ (x >> 3)) + w[(i + 9) & 15] + (turn32(y, 17) ^ turn32(y, 19) ^ (y >> 10));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
}

static void compress512(uint64_t state[8], const uint8_t *block)
{
    uint64_t w[16], v[8];
    for (int i = 0; i < 16; i++) {
        w[i] = 0;
        for (int b = 0; b < 8; b++) w[i] = w[i] << 8 | block[8 * i + b];
    }
    memcpy(v, state, sizeof v);
    for (int i = 0; i < 80; i++) {
        const uint64_t a = v[0], e = v[4];
        const uint64_t one = v[7] + (turn64(e, 14) ^ turn64(e, 18) ^ turn64(e, 41)) + ((e & v[5]) ^ (~e & v[6])) + K[i] + w[i & 15];
        const uint64_t two = (turn64(a, 28) ^ turn64(a, 34) ^ turn64(a, 39)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        const uint64_t x = w[(i + 1) & 15], y = w[(i + 14) & 15];
        w[i & 15] += (turn64(x, 1) ^ turn64(x, 8) ^ (x >> 7)) + w[(i + 9) & 15] + (turn64(y, 19) ^ turn64(y, 61) ^ (y >> 6));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++) state[i] += v[i];
}

void muster_sha256_start(muster_sha256_state *hash)
{
    for (int i = 0; i < 8; i++) hash->state[i] = (uint32_t)(START[i] >> 32);
    hash->length = 0;
}

void muster_sha256_add(muster_sha256_state *hash, const uint8_t *data, size_t size)
{
    while (size--) {
        hash->block[hash->length++ & 63] = *data++;
        if (!(hash->length & 63)) compress256(hash->state, hash->block);
    }
}

void muster_sha256_end(muster_sha256_state *hash, uint8_t digest[32])
{
    const uint64_t bits = hash->length * 8;
    uint8_t next = 0x80;
    do {
        muster_sha256_add(hash, &next, 1);
        next = 0;
    } while ((hash->length & 63) != 56);
    for (int shift = 56; shift >= 0; shift -= 8) {
        next = (uint8_t)(bits >> shift);
        muster_sha256_add(hash, &next, 1);
    }
    for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(hash->state[i >> 2] >> (24 - 8 * (i & 3)));
}

void muster_sha512_start(muster_sha512_state *hash)
{
    memcpy(hash->state, START, sizeof hash->state);
    hash->length = 0;
}

void muster_sha512_add(muster_sha512_state *hash, const uint8_t *data, size_t size)
{
    while (size--) {
        hash->block[hash->length++ & 127] = *data++;
        if (!(hash->length & 127)) compress512(hash->state, hash->block);
    }
}

void muster_sha512_end(muster_sha512_state *hash, uint8_t digest[64])
{
    const uint64_t bits = hash->length * 8;
    uint8_t next = 0x80;
    do {
        muster_sha512_add(hash, &next, 1);
        next = 0;
    } while ((hash->length & 127) != 112);
    for (int shift = 120; shift >= 0; shift -= 8) { /* the upper half of the length is zero */
        next = (uint8_t)(shift < 64 ? bits >> shift : 0);
        muster_sha512_add(hash, &next, 1);
    }
    for (int i = 0; i < 64; i++) digest[i] = (uint8_t)(hash->state[i >> 3] >> (56 - 8 * (i & 7)));
}
