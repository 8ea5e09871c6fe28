"""Training windows that lack channels, so that the network meets patterns of missing channels that no training device has,
and windows whose device's type is hidden, so that it knows what to do without.

As dropout does for features of a layer (Srivastava et al., JMLR 15, 2014), here for whole channels of a window, and only for
those that devices may lack: what is dropped is missing, not zero.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from components.runtime.scaling import MISSING_CODE

TYPES_HIDDEN = 0.1
"""Share of the windows in training whose type is hidden: as much as `model.channel_dropout` hides of a channel."""


def without_channels(
    codes: NDArray[np.int8], optional: tuple[int, ...], rate: float, random: torch.Generator
) -> NDArray[np.int8]:
    """(windows, steps, channels) codes, each ``optional`` channel missing in about ``rate`` of them; none loses all channels."""
    if not optional or not rate:
        return codes
    drawn = (torch.rand((len(codes), len(optional)), generator=random) < rate).cpu().numpy()
    gone = np.zeros((len(codes), codes.shape[2]), bool)
    gone[:, list(optional)] = drawn
    left = ~gone & (codes != MISSING_CODE).any(axis=1)
    gone[~left.any(axis=1)] = False
    return np.where(gone[:, None, :], np.int8(MISSING_CODE), codes)


def without_types(types: NDArray[np.int64], random: torch.Generator) -> NDArray[np.int64]:
    """(windows,) positions of types, -1 in about `TYPES_HIDDEN` of them besides; nothing is drawn where none is known."""
    if (types < 0).all():
        return types
    hidden = (torch.rand(len(types), generator=random) < TYPES_HIDDEN).cpu().numpy()
    return np.where(hidden, -1, types)
