"""Windows: the unit of labelling, training and inference."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import Calibration, Converter, Scaling
from components.workspace.files import write_json

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Windows:
    """All windows of a data set, ordered by device and start.

    ``values``: (windows, steps, channels) float32 in physical units, NaN for missing.
    ``codes``: (windows, steps, channels) int8, what the device's network sees (`runtime.scaling`).
    ``index``: one row a window: device_id, start, end (UTC, end exclusive), site, hardware_profile,
    firmware_version, and ``split``: 'train' or 'test' (held out).
    ``scalings``: device_id -> the scaling that this device learned.
    """

    channels: tuple[str, ...]
    values: NDArray[np.float32]
    codes: NDArray[np.int8]
    index: pd.DataFrame
    converter: Converter
    calibration: Calibration
    scalings: dict[str, Scaling]

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def train(self) -> NDArray[np.bool_]:
        return np.asarray(self.index["split"].to_numpy() == "train")

    @property
    def test(self) -> NDArray[np.bool_]:
        return ~self.train

    @property
    def profiles(self) -> NDArray[Any]:
        """(windows,) name of the hardware profile of each window's device, empty where it is not known."""
        return np.asarray(self.index["hardware_profile"], object)

    def save(self, folder: Path) -> None:
        np.save(folder / "values.npy", self.values)
        np.save(folder / "codes.npy", self.codes)
        self.index.to_parquet(folder / "index.parquet", index=False)
        write_json(
            folder / "windows.json",
            {
                "channels": list(self.channels),
                "converter": {"lsb": list(self.converter.lsb), "offset": list(self.converter.offset)},
                "calibration": self.calibration.to_json(),
                "scalings": {device: s.to_json() for device, s in self.scalings.items()},
            },
        )

    @classmethod
    def load(cls, folder: Path) -> Windows:
        import pandas as pd

        meta: dict[str, Any] = json.loads((folder / "windows.json").read_text())
        return cls(
            channels=tuple(meta["channels"]),
            values=np.load(folder / "values.npy", mmap_mode="r"),
            codes=np.load(folder / "codes.npy", mmap_mode="r"),
            index=pd.read_parquet(folder / "index.parquet"),
            converter=Converter(tuple(meta["converter"]["lsb"]), tuple(meta["converter"]["offset"])),
            calibration=Calibration.from_json(meta["calibration"]),
            scalings={d: Scaling(tuple(s["center"]), tuple(s["multiplier"])) for d, s in meta["scalings"].items()},
        )
