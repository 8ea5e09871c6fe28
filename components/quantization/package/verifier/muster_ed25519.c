/* The check of an Ed25519 signature (RFC 8032, 5.1.7, without cofactor). Field and group are those of libsodium 1.0.18's
   ref10 with limbs of 25.5 bits, written as loops for size; both scalars are walked bit by bit together.

   ISC License. Copyright (c) 2013-2021 Frank Denis <j at pureftpd dot org>; the ref10 code is by Daniel J. Bernstein,
   Niels Duif, Tanja Lange, Peter Schwabe and Bo-Yin Yang, in the public domain.

   Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted,
   provided that the above copyright notice and this permission notice appear in all copies.

   THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL
   IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
   INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN AN
   ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR PERFORMANCE OF
   THIS SOFTWARE. */
#include "muster_crypto.h"

#include <string.h>

/* An element of the field: the sum of limb i times 2^ceil(25.5 i). */
typedef int32_t field[10];

typedef struct {
    field x, y, z;
} projective; /* X/Z, Y/Z */

typedef struct {
    field x, y, z, t;
} extended; /* and XY = ZT */

typedef struct {
    field x, y, z, t;
} completed; /* X/Z, Y/T */

typedef struct {
    field sum, difference, z, t2d;
} cached; /* Y+X, Y-X, Z, 2dT */

static const field D = {-10913610, 13857413, -15372611, 6949391, 114729, -8787816, -6275908, -3247719, -18696448, -12055116};
static const field D2 = {-21827239, -5839606, -30745221, 13898782, 229458, 15978800, -12551817, -6495438, 29715968, 9444199};
static const field SQRT_MINUS_ONE = {-32595792, -7943725, 9377950, 3500415, 12389472, -272473, -25146209, -2005654, 326686, 11406482};

static const uint8_t ORDER[32] = {0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10};

static void set_small(field h, int32_t value)
{
    memset(h, 0, sizeof(field));
    h[0] = value;
}

static void add(field h, const field f, const field g)
{
    for (int i = 0; i < 10; i++) h[i] = f[i] + g[i];
}

static void subtract(field h, const field f, const field g)
{
    for (int i = 0; i < 10; i++) h[i] = f[i] - g[i];
}

static void carry(int64_t h[10], int i)
{
    const int bits = 26 - (i & 1);
    const int64_t over = (h[i] + (INT64_C(1) << (bits - 1))) >> bits;
    h[i] -= over * (INT64_C(1) << bits);
    if (i == 9)
        h[0] += over * 19;
    else
        h[i + 1] += over;
}

/* h = times * f * g for 1 or 2 times. */
static void product(field h, const field f, const field g, int times)
{
    static const uint8_t order[12] = {0, 4, 1, 5, 2, 6, 3, 7, 4, 8, 9, 0};
    int64_t sum[10] = {0};
    for (int i = 0; i < 10; i++) {
        for (int j = 0; j < 10; j++) {
            const int32_t left = f[i] * (1 + (i & j & 1)), right = g[j] * (i + j < 10 ? 1 : 19);
            sum[i + j < 10 ? i + j : i + j - 10] += (int64_t)left * right;
        }
    }
    for (int i = 0; i < 10; i++) sum[i] *= times;
    for (int i = 0; i < 12; i++) carry(sum, order[i]);
    for (int i = 0; i < 10; i++) h[i] = (int32_t)sum[i];
}

static void multiply(field h, const field f, const field g) { product(h, f, g, 1); }
static void square(field h, const field f) { product(h, f, f, 1); }

static void square_times(field h, const field f, int times)
{
    square(h, f);
    while (--times) square(h, h);
}

/* z^(2^250 - 1), and z^11 beside it. */
static void power_250(field h, field eleven, const field z)
{
    field a, b, c;
    square(a, z);
    square_times(b, a, 2);
    multiply(b, z, b);
    multiply(eleven, a, b);
    square(a, eleven);
    multiply(a, a, b);
    square_times(b, a, 5);
    multiply(a, b, a);
    square_times(b, a, 10);
    multiply(b, b, a);
    square_times(c, b, 20);
    multiply(c, c, b);
    square_times(c, c, 10);
    multiply(a, c, a);
    square_times(b, a, 50);
    multiply(b, b, a);
    square_times(c, b, 100);
    multiply(c, c, b);
    square_times(c, c, 50);
    multiply(h, c, a);
}

static void invert(field h, const field z)
{
    field eleven, power;
    power_250(power, eleven, z);
    square_times(power, power, 5);
    multiply(h, power, eleven);
}

static void from_bytes(field h, const uint8_t s[32])
{
    int64_t limb[10];
    int bit = 0;
    for (int i = 0; i < 10; i++) {
        const int bits = 26 - (i & 1);
        limb[i] = 0;
        for (int b = 0; b < bits; b++, bit++) limb[i] |= (int64_t)(s[bit >> 3] >> (bit & 7) & 1) << b;
    }
    for (int i = 1; i < 10; i += 2) carry(limb, i);
    for (int i = 0; i < 10; i += 2) carry(limb, i);
    for (int i = 0; i < 10; i++) h[i] = (int32_t)limb[i];
}

/* The one encoding below 2^255 - 19. */
static void to_bytes(uint8_t s[32], const field h)
{
    field t;
    int32_t q = (19 * h[9] + (1 << 24)) >> 25;
    int bit = 0;
    for (int i = 0; i < 10; i++) q = (h[i] + q) >> (26 - (i & 1));
    memcpy(t, h, sizeof t);
    t[0] += 19 * q;
    for (int i = 0; i < 10; i++) {
        const int bits = 26 - (i & 1);
        const int32_t over = t[i] >> bits;
        t[i] -= over * (1 << bits);
        if (i < 9) t[i + 1] += over;
    }
    memset(s, 0, 32);
    for (int i = 0; i < 10; i++) {
        for (int b = 0; b < 26 - (i & 1); b++, bit++) s[bit >> 3] |= (uint8_t)((t[i] >> b & 1) << (bit & 7));
    }
}

static int is_zero(const field f)
{
    uint8_t s[32], any = 0;
    to_bytes(s, f);
    for (int i = 0; i < 32; i++) any |= s[i];
    return !any;
}

static int is_odd(const field f)
{
    uint8_t s[32];
    to_bytes(s, f);
    return s[0] & 1;
}

/* Minus the point of an encoding; 0 when there is none. */
static int negated_point(extended *p, const uint8_t s[32])
{
    field u, v, v3, check, unused;
    from_bytes(p->y, s);
    set_small(p->z, 1);
    square(u, p->y);
    multiply(v, u, D);
    subtract(u, u, p->z); /* y^2 - 1 */
    add(v, v, p->z);      /* d y^2 + 1 */
    square(v3, v);
    multiply(v3, v3, v);
    square(p->x, v3);
    multiply(p->x, p->x, v);
    multiply(p->x, p->x, u); /* u v^7 */
    memcpy(check, p->x, sizeof check);
    power_250(p->x, unused, p->x);
    square_times(p->x, p->x, 2);
    multiply(p->x, p->x, check);
    multiply(p->x, p->x, v3);
    multiply(p->x, p->x, u); /* u v^3 (u v^7)^((q - 5) / 8) */
    square(check, p->x);
    multiply(check, check, v);
    subtract(v3, check, u);
    if (!is_zero(v3)) {
        add(v3, check, u);
        if (!is_zero(v3)) return 0;
        multiply(p->x, p->x, SQRT_MINUS_ONE);
    }
    if (is_odd(p->x) == s[31] >> 7) {
        set_small(v3, 0);
        subtract(p->x, v3, p->x);
    }
    multiply(p->t, p->x, p->y);
    return 1;
}

static void to_projective(projective *r, const completed *p)
{
    multiply(r->x, p->x, p->t);
    multiply(r->y, p->y, p->z);
    multiply(r->z, p->z, p->t);
}

static void to_extended(extended *r, const completed *p)
{
    multiply(r->x, p->x, p->t);
    multiply(r->y, p->y, p->z);
    multiply(r->z, p->z, p->t);
    multiply(r->t, p->x, p->y);
}

static void to_cached(cached *r, const extended *p)
{
    add(r->sum, p->y, p->x);
    subtract(r->difference, p->y, p->x);
    memcpy(r->z, p->z, sizeof r->z);
    multiply(r->t2d, p->t, D2);
}

static void add_points(completed *r, const extended *p, const cached *q)
{
    field twice;
    add(r->x, p->y, p->x);
    subtract(r->y, p->y, p->x);
    multiply(r->z, r->x, q->sum);
    multiply(r->y, r->y, q->difference);
    multiply(r->t, q->t2d, p->t);
    multiply(r->x, p->z, q->z);
    add(twice, r->x, r->x);
    subtract(r->x, r->z, r->y);
    add(r->y, r->z, r->y);
    add(r->z, twice, r->t);
    subtract(r->t, twice, r->t);
}

static void double_point(completed *r, const projective *p)
{
    field both;
    square(r->x, p->x);
    square(r->z, p->y);
    product(r->t, p->z, p->z, 2);
    add(r->y, p->x, p->y);
    square(both, r->y);
    add(r->y, r->z, r->x);
    subtract(r->z, r->z, r->x);
    subtract(r->x, both, r->y);
    subtract(r->t, r->t, r->z);
}

/* Whether eight times the point is the neutral one. */
static int is_of_small_order(const extended *p)
{
    projective q;
    completed r;
    memcpy(&q, p, sizeof q);
    for (int i = 0; i < 3; i++) {
        double_point(&r, &q);
        to_projective(&q, &r);
    }
    return is_zero(q.x);
}

static int is_less(const uint8_t a[32], const uint8_t b[32])
{
    for (int i = 31; i >= 0; i--) {
        if (a[i] != b[i]) return a[i] < b[i];
    }
    return 0;
}

/* Whether y is written as a number below 2^255 - 19. */
static int is_canonical(const uint8_t key[32])
{
    uint8_t y[32], prime[32];
    memcpy(y, key, 32);
    y[31] &= 0x7f;
    memset(prime, 0xff, 32);
    prime[0] = 0xed;
    prime[31] = 0x7f;
    return is_less(y, prime);
}

/* A number of 512 bits modulo the order of the group, bit by bit: the rest is always below the order. */
static void reduce(uint8_t rest[32], const uint8_t wide[64])
{
    memset(rest, 0, 32);
    for (int bit = 511; bit >= 0; bit--) {
        int over = wide[bit >> 3] >> (bit & 7) & 1;
        for (int i = 0; i < 32; i++) {
            over |= rest[i] << 1;
            rest[i] = (uint8_t)over;
            over >>= 8;
        }
        if (is_less(rest, ORDER)) continue;
        over = 0;
        for (int i = 0; i < 32; i++) {
            over += rest[i] - ORDER[i];
            rest[i] = (uint8_t)over;
            over >>= 8;
        }
    }
}

static int bit_of(const uint8_t scalar[32], int bit) { return scalar[bit >> 3] >> (bit & 7) & 1; }

/* r = a p + b q, with the sum of both points at hand (Shamir's trick). */
static void two_products(projective *r, const uint8_t a[32], const extended *p, const uint8_t b[32], const extended *q)
{
    cached table[3];
    extended sum;
    completed c;
    to_cached(&table[0], p);
    to_cached(&table[1], q);
    add_points(&c, p, &table[1]);
    to_extended(&sum, &c);
    to_cached(&table[2], &sum);
    set_small(r->x, 0);
    set_small(r->y, 1);
    set_small(r->z, 1);
    for (int bit = 252; bit >= 0; bit--) {
        const int which = bit_of(a, bit) + 2 * bit_of(b, bit);
        double_point(&c, r);
        if (which) {
            to_extended(&sum, &c);
            add_points(&c, &sum, &table[which - 1]);
        }
        to_projective(r, &c);
    }
}

static void point_bytes(uint8_t s[32], const projective *p)
{
    field x, y, inverse;
    invert(inverse, p->z);
    multiply(x, p->x, inverse);
    multiply(y, p->y, inverse);
    to_bytes(s, y);
    s[31] ^= (uint8_t)(is_odd(x) << 7);
}

int muster_ed25519_verify(const uint8_t signature[64], const uint8_t *message, size_t size, const uint8_t key[32])
{
    muster_sha512_state hash;
    uint8_t bytes[64], scalar[32];
    extended minus_key, base;
    projective r;
    if (!is_less(signature + 32, ORDER) || !is_canonical(key)) return 0;
    if (!negated_point(&minus_key, key) || is_of_small_order(&minus_key)) return 0;
    memset(bytes, 0x66, 32); /* y = 4/5; with the sign of the negative point, since the sign is turned */
    bytes[0] = 0x58;
    bytes[31] = 0xe6;
    negated_point(&base, bytes);
    muster_sha512_start(&hash);
    muster_sha512_add(&hash, signature, 32);
    muster_sha512_add(&hash, key, 32);
    muster_sha512_add(&hash, message, size);
    muster_sha512_end(&hash, bytes);
    reduce(scalar, bytes);
    two_products(&r, scalar, &minus_key, signature + 32, &base);
    point_bytes(bytes, &r);
    return !memcmp(bytes, signature, 32);
}
