r"""Who belongs to a stage, computed alike by the registry and by every device, in any language.

``bucket = (u64(sha256("rollout-cohort/v1\0" || len16(salt) || salt || device_id)[:8]) * 10^7) >> 64``, with
big-endian integers and UTF-8 text. A device is in a stage iff its bucket is below the stage's ``upto``. The
multiply-and-shift maps 64 uniform bits onto 10^7 buckets without modulo bias (Lemire, ACM TOMACS 29, 2019). A manifest
names single devices by the first 16 hex digits of ``sha256("rollout-pin/v1\0" || len16(salt) || salt || device_id)``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from functools import lru_cache
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

ALGORITHM: Final = "sha256-mulshift/1"
BUCKETS = 10_000_000
Buckets = NDArray[np.int32]
_CHUNK = 1 << 16
_DOMAIN, _PIN = b"rollout-cohort/v1\0", b"rollout-pin/v1\0"


def bucket(salt: str, device_id: str) -> int:
    """The bucket of one device, 0 to 10^7 - 1."""
    return _scaled(hashlib.sha256(_prefix(salt) + device_id.encode()).digest())


def pin(salt: str, device_id: str) -> str:
    """How a manifest names a single device: 16 hex digits, other ones in every release."""
    return hashlib.sha256(_prefix(salt, _PIN) + device_id.encode()).hexdigest()[:16]


def place(salt: str, device_id: str, deferred: Container[str] = (), deferred_to: int = 0) -> int:
    """The bucket that counts: of a deferred device, whose `pin` is in ``deferred``, at least ``deferred_to``."""
    own = bucket(salt, device_id)
    return max(own, deferred_to) if deferred and pin(salt, device_id) in deferred else own


def buckets(salt: str, device_ids: Iterable[str]) -> Buckets:
    """(devices,) int32 buckets in the order of the ids."""
    sha256, prefix, rest = hashlib.sha256, _prefix(salt), iter(device_ids)
    parts = [np.empty(0, np.int32)]
    # A message of one block is faster from its beginning than from a copy of the hash of its prefix.
    while digests := b"".join([sha256(prefix + device_id.encode()).digest() for device_id in islice(rest, _CHUNK)]):
        parts.append(_all_scaled(np.frombuffer(digests, ">u8")[::4].astype(np.uint64)))
    return np.concatenate(parts)


def quota(devices: int, share: float) -> int:
    """How many of ``devices`` a stage of the cumulative ``share`` holds: rounded up, so that no stage is empty."""
    basis_points = round(share * 10_000)
    return -(-devices * basis_points // 10_000)


def cut(values: Buckets, count: int) -> int:
    """``upto`` for exactly the ``count`` devices with the smallest buckets; devices on equal buckets go together.

    The whole stratum gets 10^7, so that devices which join later are in the last stage.
    """
    if count >= len(values):
        return BUCKETS
    if count <= 0:
        return 0
    return int(np.partition(values, count - 1)[count - 1]) + 1


@lru_cache(maxsize=64)
def _prefix(salt: str, domain: bytes = _DOMAIN) -> bytes:
    data = salt.encode()
    return domain + len(data).to_bytes(2, "big") + data


def _scaled(digest: bytes) -> int:
    return (int.from_bytes(digest[:8], "big") * BUCKETS) >> 64


def _all_scaled(bits: NDArray[np.uint64]) -> Buckets:
    """(u * 10^7) >> 64 in halves: 10^7 is below 2^24, so that nothing overflows."""
    half, count = np.uint64(32), np.uint64(BUCKETS)
    low = ((bits & np.uint64(0xFFFFFFFF)) * count) >> half
    return (((bits >> half) * count + low) >> half).astype(np.int32)
