"""Learning curves: what the losses of a training were on its way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.workspace.files import write_json

CURVES_FILE = "curves.json"


@dataclass(frozen=True)
class Point:
    """``losses``: name -> value after ``step`` steps of ``phase``; their sum is what training lowers.

    ``part``: 'train', the mean over the steps since the point before; 'validation', windows that training never sees; or
    'int8', such windows in the integers that devices will compute (`components.models.simulation`).
    """

    phase: str
    step: int
    part: str
    learning_rate: float
    losses: Mapping[str, float]

    @property
    def total(self) -> float:
        return sum(self.losses.values())

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Point:
        return cls(value["phase"], value["step"], value["part"], value["learning_rate"], value["losses"])


def save_curves(folder: Path, points: Sequence[Point]) -> None:
    """Write `curves.json`, one row a point."""
    write_json(folder / CURVES_FILE, [asdict(point) for point in points])


def load_curves(folder: Path) -> tuple[Point, ...]:
    """The points in ``folder``; none where a model was kept before curves were."""
    file = folder / CURVES_FILE
    return tuple(Point.from_json(row) for row in json.loads(file.read_text())) if file.is_file() else ()
