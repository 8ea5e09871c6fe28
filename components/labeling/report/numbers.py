"""What was declared for a regression, as JSON and as rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.values import Targets

NUMBER_COLUMNS = ("task", "unit", "windows with a value", "of these clipped to the range", "least", "median", "largest")


def measure_numbers(targets: Targets) -> dict[str, Any]:
    """``coverage``: share of windows with a value; ``clipped``: share of these whose value lay outside the range."""
    values = targets.values[targets.covered].astype(np.float64)
    low, middle, high = (float(v) for v in np.quantile(values, (0.0, 0.5, 1.0)))
    return {
        "task": targets.task,
        "unit": targets.unit,
        "range": list(targets.range),
        "version": targets.facts.get("version"),
        "coverage": round(targets.coverage, 6),
        "clipped": round(int(targets.facts.get("clipped", 0)) / len(values), 6),
        "least": low,
        "median": middle,
        "largest": high,
    }


def number_rows(report: dict[str, Any]) -> list[tuple[object, ...]]:
    """One row a regression under `NUMBER_COLUMNS`."""
    return [
        (n["task"], n["unit"], f"{n['coverage']:.1%}", f"{n['clipped']:.1%}", n["least"], n["median"], n["largest"])
        for n in report["numbers"]
    ]
