"""What validation found, as one JSON document and one page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from components.validation.page import page, paragraph, table
from components.validation.suite import Expected
from components.workspace.files import write_json, write_text

if TYPE_CHECKING:
    import pandas as pd

_WORST = 20
CHANNEL_COLUMNS = ("channel", "missing share", "min", "1 %", "median", "99 %", "max")
SUITE_COLUMNS = ("expectation", "column", "limits", "result", "unexpected rows")


def profile_of(
    frame: pd.DataFrame,
    verdict: NDArray[np.int16],
    reasons: list[str],
    channels: tuple[str, ...],
    duplicates: int,
    skipped: list[dict[str, str]],
) -> dict[str, Any]:
    """Counts, reasons, channel ranges over accepted rows, and the devices with most quarantined rows."""
    good = verdict < 0
    counts = np.bincount(verdict[~good], minlength=len(reasons)).tolist()
    by_device = frame.loc[~good, "device_id"].astype("str").value_counts().head(_WORST)
    return {
        "rows": len(frame),
        "accepted": int(good.sum()) - duplicates,
        "quarantined": int((~good).sum()),
        "duplicates": duplicates,
        "skipped_objects": skipped,
        "reasons": dict(sorted(zip(reasons, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))),
        "channels": {name: _ranges(frame[name].to_numpy()[good]) for name in channels},
        "worst_devices": {str(device): int(n) for device, n in sorted(by_device.items(), key=lambda p: (-int(p[1]), str(p[0])))},
    }


def write_report(folder: Path, name: str, profile: dict[str, Any], expected: list[Expected], suite: dict[str, Any]) -> None:
    """Write `report.html`, `profile.json` and `suite.json`."""
    write_json(folder / "profile.json", profile)
    write_json(folder / "suite.json", {"name": suite["name"], "expectations": _without_ids(suite["expectations"])})
    summary = (
        f"{profile['rows']:,} rows: {profile['accepted']:,} accepted, {profile['quarantined']:,} in quarantine.parquet, "
        f"{profile['duplicates']:,} exact duplicates dropped."
    )
    skipped = [(s["key"], s["reason"]) for s in profile["skipped_objects"]]
    ranges = [(c, *values.values()) for c, values in profile["channels"].items()]
    outcomes = [(e.name, e.column, e.limits, *_verdict(e)) for e in expected]
    sections = [
        paragraph(summary),
        table("Why rows are in quarantine", ("reason", "rows"), list(profile["reasons"].items())),
        table("Objects that could not be read", ("object", "reason"), skipped),
        table("Channels (accepted rows)", CHANNEL_COLUMNS, ranges),
        table("The contract as a Great Expectations suite", SUITE_COLUMNS, outcomes),
        table("Devices with most rows in quarantine", ("device", "rows"), list(profile["worst_devices"].items())),
    ]
    write_text(folder / "report.html", page(f"Validation of {name}", *sections))


def _verdict(outcome: Expected) -> tuple[str, int | str]:
    return "passed" if outcome.passed else "failed", "" if outcome.unexpected is None else outcome.unexpected


def _ranges(values: NDArray[Any]) -> dict[str, float | None]:
    present = values[~np.isnan(values)].astype(np.float64)
    names = ("min", "p01", "median", "p99", "max")
    numbers = np.quantile(present, (0, 0.01, 0.5, 0.99, 1)).tolist() if present.size else [None] * len(names)
    return {"missing": 1 - present.size / max(values.size, 1), **dict(zip(names, numbers, strict=True))}


def _without_ids(expectations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Great Expectations gives each expectation a random id; equal contracts shall be equal bytes."""
    kept = [{"type": e["type"], "kwargs": e["kwargs"]} for e in expectations]
    return [
        {"type": e["type"], "kwargs": {k: str(v) if hasattr(v, "isoformat") else v for k, v in e["kwargs"].items()}} for e in kept
    ]
