"""What a network reads: int8 codes with 0 for what is missing, and of channels that devices may lack, whether they are missing.

Zero is also a channel's usual value, so a network could not tell the two apart. Each optional channel therefore has an
input of its own behind all the channels: `ABSENT` where its sample is missing, else 0. The stem's weights on it are what the
network has learned to read in place of the channel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE

ABSENT = 32
"""Code of an input that says 'missing': of the size of usual samples, so that its weights are of the size of others."""


def entry(codes: NDArray[np.int8], optional: tuple[int, ...]) -> NDArray[np.int8]:
    """(..., channels) codes -> (..., channels + optional) inputs. ``optional``: positions of the channels, rising."""
    x = np.where(codes == MISSING_CODE, 0, codes).astype(np.int8)
    if not optional:
        return x
    absent = (codes[..., list(optional)] == MISSING_CODE).astype(np.int8) * np.int8(ABSENT)
    return np.concatenate([x, absent], axis=-1)
